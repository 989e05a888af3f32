/* Writes JSON. */
#include "internal.h"

/* Small is better than fast here. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static void begin_value(pst_writer *out) {
    if (out->comma) pst_append_byte(&out->buffer, ',');
    out->comma = true;
}

static void begin(pst_writer *out, char bracket) {
    begin_value(out);
    pst_append_byte(&out->buffer, bracket);
    out->comma = false;
}

static void end(pst_writer *out, char bracket) {
    pst_append_byte(&out->buffer, bracket);
    out->comma = true;
}

void pst_begin_object(pst_writer *out) {
    begin(out, '{');
}

void pst_end_object(pst_writer *out) {
    end(out, '}');
}

void pst_begin_array(pst_writer *out) {
    begin(out, '[');
}

void pst_end_array(pst_writer *out) {
    end(out, ']');
}

static void append_escape(pst_buffer *buffer, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    pst_append_byte(buffer, '\\');
    switch (c) {
        case '\b': pst_append_byte(buffer, 'b'); break;
        case '\f': pst_append_byte(buffer, 'f'); break;
        case '\n': pst_append_byte(buffer, 'n'); break;
        case '\r': pst_append_byte(buffer, 'r'); break;
        case '\t': pst_append_byte(buffer, 't'); break;
        case '"':
        case '\\': pst_append_byte(buffer, (char)c); break;
        default:
            pst_append(buffer, PST_TEXT("u00"));
            pst_append_byte(buffer, hex[c >> 4]);
            pst_append_byte(buffer, hex[c & 0xF]);
    }
}

void pst_write_text(pst_writer *out, pst_text text) {
    begin_value(out);
    pst_append_byte(&out->buffer, '"');
    size_t written = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        pst_append(&out->buffer, (pst_text){text.bytes + written, i - written});
        append_escape(&out->buffer, c);
        written = i + 1;
    }
    pst_append(&out->buffer, (pst_text){text.bytes + written, text.length - written});
    pst_append_byte(&out->buffer, '"');
}

void pst_key(pst_writer *out, const char *key) {
    pst_key_text(out, pst_text_of(key));
}

void pst_key_text(pst_writer *out, pst_text key) {
    pst_write_text(out, key);
    pst_append_byte(&out->buffer, ':');
    out->comma = false;
}

void pst_write_integer(pst_writer *out, int64_t number) {
    begin_value(out);
    pst_append_integer(&out->buffer, number);
}

void pst_write_double(pst_writer *out, double number) {
    if (number - number != 0) { /* nan, inf, -inf */
        pst_write_null(out);
        return;
    }
    begin_value(out);
    pst_append_double(&out->buffer, number);
}

void pst_write_boolean(pst_writer *out, bool boolean) {
    pst_write_json(out, boolean ? PST_TEXT("true") : PST_TEXT("false"));
}

void pst_write_null(pst_writer *out) {
    pst_write_json(out, PST_TEXT("null"));
}

void pst_write_json(pst_writer *out, pst_text json) {
    begin_value(out);
    pst_append(&out->buffer, json);
}

void pst_field_text(pst_writer *out, const char *key, pst_text text) {
    pst_key(out, key);
    pst_write_text(out, text);
}

void pst_field_integer(pst_writer *out, const char *key, int64_t number) {
    pst_key(out, key);
    pst_write_integer(out, number);
}

void pst_field_double(pst_writer *out, const char *key, double number) {
    pst_key(out, key);
    pst_write_double(out, number);
}

void pst_field_boolean(pst_writer *out, const char *key, bool boolean) {
    pst_key(out, key);
    pst_write_boolean(out, boolean);
}

#pragma clang attribute pop
