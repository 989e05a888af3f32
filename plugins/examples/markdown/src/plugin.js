// Markdown as HTML, as an outline and as a list of what it points to. markdown-it reads it.

import MarkdownIt from "markdown-it";
import { Failure, tool } from "penstock";

// Raw HTML in the source is shown, not passed on: what comes out may be put into a page.
const plain = new MarkdownIt({ html: false });
const linkified = new MarkdownIt({ html: false, linkify: true });

const text = { type: "string", description: "Markdown" };
const linkify = { type: "boolean", default: false, description: "Also make links of bare addresses" };

tool({
    name: "to_html",
    label: "Markdown to HTML",
    description: "Renders Markdown (CommonMark, tables, strikethrough) as HTML. Raw HTML is escaped.",
    parameters: {
        type: "object",
        properties: { text, linkify },
        required: ["text"],
        additionalProperties: false,
    },
    run({ text, linkify = false }) {
        return { html: (linkify ? linkified : plain).render(text) };
    },
});

tool({
    name: "headings",
    label: "Headings",
    description: "Lists the headings of a Markdown text in order: level, text, anchor, and line (from 1).",
    parameters: {
        type: "object",
        properties: {
            text,
            max_level: {
                type: "integer",
                minimum: 1,
                maximum: 6,
                default: 6,
                description: "Leave out deeper headings",
            },
        },
        required: ["text"],
        additionalProperties: false,
    },
    run({ text, max_level = 6 }) {
        const tokens = plain.parse(text, {});
        const anchors = new Map();
        const headings = [];
        tokens.forEach((token, index) => {
            const level = Number(token.tag.slice(1));
            if (token.type !== "heading_open") {
                return;
            }
            const title = textOf(tokens[index + 1].children);
            const anchor = anchorOf(title, anchors);
            if (level <= max_level) {
                headings.push({ level, text: title, anchor, line: token.map[0] + 1 });
            }
        });
        return { headings };
    },
});

tool({
    name: "links",
    label: "Links",
    description: "Lists the links and images of a Markdown text in order: kind, target, text and title.",
    parameters: {
        type: "object",
        properties: { text, linkify },
        required: ["text"],
        additionalProperties: false,
    },
    run({ text, linkify = false }) {
        const links = [];
        for (const block of (linkify ? linkified : plain).parse(text, {})) {
            collect(block.children ?? [], links);
        }
        return { links };
    },
});

function collect(inline, links) {
    inline.forEach((token, index) => {
        if (token.type === "link_open") {
            const end = inline.findIndex((other, at) => at > index && other.type === "link_close");
            if (end < 0) {
                throw new Failure("a link without an end");
            }
            links.push({
                kind: "link",
                target: token.attrGet("href"),
                text: textOf(inline.slice(index + 1, end)),
                title: token.attrGet("title"),
            });
        } else if (token.type === "image") {
            links.push({
                kind: "image",
                target: token.attrGet("src"),
                text: textOf(token.children),
                title: token.attrGet("title"),
            });
        }
    });
}

// What a reader sees of inline tokens, without marks.
function textOf(inline) {
    return inline
        .map((token) => {
            if (token.type === "softbreak" || token.type === "hardbreak") {
                return " ";
            }
            return token.type === "image" ? textOf(token.children) : token.content;
        })
        .join("");
}

// As GitHub makes them: lower case, blanks become dashes, punctuation goes, repeats are numbered.
function anchorOf(title, used) {
    const slug = title
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "")
        .replace(/ /g, "-");
    const times = used.get(slug) ?? 0;
    used.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
}
