/* What the plugin offers. */
#include "tools.h"

PST_PLUGIN(
    {
        .name = "stats",
        .label = "Text statistics",
        .description =
            "Counts the bytes, lines and words of a text and measures its longest line, its share of comment "
            "lines and the entropy of its bytes. Returns {bytes, lines, words, longest_line, comment_ratio, "
            "entropy}.",
        .parameters = PST_JSON({
            "type": "object",
            "properties": {
                "text": {
                    "type": "string",
                    "description": "The text to measure."
                },
                "comment_prefix": {
                    "type": "string",
                    "pattern": "^\\S[^\\r\\n]*$",
                    "maxLength": 64,
                    "default": "#",
                    "description": "What a comment line begins with, after blanks."
                }
            },
            "required": ["text"],
            "additionalProperties": false
        }),
        .run = stats,
    },
    {
        .name = "slug",
        .label = "Slug",
        .description =
            "Makes a name for URLs and files from a text: lower-case ASCII letters and digits joined by "
            "dashes, with the accents of Latin letters removed. Returns {slug}; it is empty when the text has "
            "no Latin letter or digit.",
        .parameters = PST_JSON({
            "type": "object",
            "properties": {
                "text": {
                    "type": "string",
                    "description": "The text to make a slug of, such as a title."
                },
                "max_length": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "The longest slug wanted, in characters. Without it there is no limit."
                }
            },
            "required": ["text"],
            "additionalProperties": false
        }),
        .run = slug,
    },
    {
        .name = "distance",
        .label = "Edit distance",
        .description =
            "Compares two texts by Levenshtein distance: how many characters must be inserted, deleted or "
            "replaced to turn one into the other. Returns {distance, similarity}; similarity is 1 for equal "
            "texts and 0 for texts with nothing in common. The product of the two lengths may be at most "
            "100000000 characters (10000 each).",
        .parameters = PST_JSON({
            "type": "object",
            "properties": {
                "a": {
                    "type": "string",
                    "description": "One text."
                },
                "b": {
                    "type": "string",
                    "description": "The text it is compared with."
                }
            },
            "required": ["a", "b"],
            "additionalProperties": false
        }),
        .run = distance,
    })
