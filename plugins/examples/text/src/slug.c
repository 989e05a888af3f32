/* slug: a text as lower-case ASCII words joined by dashes. */
#include "tools.h"

/* Latin letters without their accents, one character for each code point. A capital stands for two letters
 * (see `pairs`), a dash for a code point that is no Latin letter or has no plain one. */
static const char latin_c0_to_24f[] =
    "aaaaaaAceeeeiiiidnooooo-ouuuuyTSaaaaaaAceeeeiiiidnooooo-ouuuuyTy"
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiIIjjkkklllllll"
    "lllnnnnnnnnnooooooOOrrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"
    "--------------------------------oo-------------uu---------------"
    "----DDDLLLNNNaaiioouuuuuuuuuu-aaaa----ggkkoooo--jDDDgg--nnaa----"
    "aaaaeeeeiiiioooorrrruuuusstt--hh------aaeeooooooooyy------------"
    "----------------";
static const char latin_1e00_to_1eff[] =
    "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm"
    "mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv"
    "wwwwwwwwwwxxxxyyzzzzzzhtwyasssS-aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee"
    "eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy------";

static const char *pairs(char capital) {
    switch (capital) {
        case 'A': return "ae";
        case 'D': return "dz";
        case 'I': return "ij";
        case 'L': return "lj";
        case 'N': return "nj";
        case 'O': return "oe";
        case 'S': return "ss";
        default: return "th"; /* T */
    }
}

/* The character that stands for a code point: a letter or digit, a capital for a pair, or a dash. */
static char folded(uint32_t code_point) {
    if (code_point >= 'A' && code_point <= 'Z') return (char)(code_point | 0x20);
    if ((code_point >= 'a' && code_point <= 'z') || (code_point >= '0' && code_point <= '9'))
        return (char)code_point;
    if (code_point >= 0xC0 && code_point < 0x250) return latin_c0_to_24f[code_point - 0xC0];
    if (code_point >= 0x1E00 && code_point < 0x1F00) return latin_1e00_to_1eff[code_point - 0x1E00];
    return '-';
}

static bool is_combining(uint32_t code_point) {
    return code_point >= 0x300 && code_point < 0x370;
}

typedef struct {
    pst_buffer text;
    size_t max_length;
    bool gap; /* whether a dash comes before the next letter */
    bool full;
} slug_builder;

static void add_letter(slug_builder *slug, char letter) {
    bool dash = slug->gap && slug->text.length;
    slug->full = slug->full || slug->text.length + dash >= slug->max_length;
    if (slug->full) return;
    if (dash) pst_append_byte(&slug->text, '-');
    pst_append_byte(&slug->text, letter);
    slug->gap = false;
}

pst_result slug(const pst_object *params) {
    pst_text rest = pst_get_text(params, "text", PST_TEXT(""));
    int64_t max_length = pst_get_integer(params, "max_length", INT32_MAX);
    slug_builder slug = {.max_length = max_length > INT32_MAX ? INT32_MAX : (size_t)max_length};
    while (rest.length && !slug.full) {
        uint32_t code_point = pst_next_code_point(&rest);
        if (is_combining(code_point)) continue;
        char letter = folded(code_point);
        if (letter == '-') {
            slug.gap = true;
        } else if (letter >= 'A' && letter <= 'Z') {
            add_letter(&slug, pairs(letter)[0]);
            add_letter(&slug, pairs(letter)[1]);
        } else {
            add_letter(&slug, letter);
        }
    }
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_text(&out, "slug", pst_buffer_text(&slug.text));
    pst_end_object(&out);
    return pst_return(&out);
}
