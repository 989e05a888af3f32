/* Texts, and texts that grow. */
#include "internal.h"

#define REPLACEMENT 0xFFFDu

pst_text pst_text_of(const char *c_string) {
    size_t length = 0;
    while (c_string[length]) length++;
    return (pst_text){c_string, length};
}

bool pst_equal(pst_text left, pst_text right) {
    return left.length == right.length && memcmp(left.bytes, right.bytes, left.length) == 0;
}

bool pst_starts_with(pst_text text, pst_text prefix) {
    return text.length >= prefix.length && memcmp(text.bytes, prefix.bytes, prefix.length) == 0;
}

static bool is_continuation(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

uint32_t pst_next_code_point(pst_text *rest) {
    const unsigned char *bytes = (const unsigned char *)rest->bytes;
    uint32_t code_point = bytes[0];
    size_t length = code_point < 0x80    ? 1
                    : code_point < 0xC2  ? 0
                    : code_point < 0xE0  ? 2
                    : code_point < 0xF0  ? 3
                    : code_point <= 0xF4 ? 4
                                         : 0;
    bool valid = length && length <= rest->length;
    for (size_t i = 1; valid && i < length; i++) valid = is_continuation(bytes[i]);
    if (valid && length > 1) {
        code_point &= 0x7Fu >> length;
        for (size_t i = 1; i < length; i++) code_point = code_point << 6 | (bytes[i] & 0x3Fu);
        valid = !(length == 3 && code_point < 0x800) && !(length == 4 && code_point < 0x10000) &&
                !(code_point >= 0xD800 && code_point < 0xE000) && code_point <= 0x10FFFF;
    }
    if (!valid) {
        code_point = REPLACEMENT;
        length = 1;
    }
    rest->bytes += length;
    rest->length -= length;
    return code_point;
}

size_t pst_code_points(pst_text text) {
    size_t count = 0;
    for (size_t i = 0; i < text.length; i++) count += !is_continuation((unsigned char)text.bytes[i]);
    return count;
}

size_t pst_encode_code_point(uint32_t code_point, char utf8[4]) {
    if (code_point < 0x80) {
        utf8[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        utf8[0] = (char)(0xC0 | code_point >> 6);
        utf8[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) code_point = REPLACEMENT;
    if (code_point < 0x10000) {
        utf8[0] = (char)(0xE0 | code_point >> 12);
        utf8[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        utf8[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    utf8[0] = (char)(0xF0 | code_point >> 18);
    utf8[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    utf8[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    utf8[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}

/* Room for `extra` more bytes. */
static char *extend(pst_buffer *buffer, size_t extra) {
    size_t needed;
    if (__builtin_add_overflow(buffer->length, extra, &needed)) __builtin_trap();
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity < needed) capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
        buffer->bytes = pst_realloc(buffer->bytes, buffer->capacity, capacity);
        buffer->capacity = capacity;
    }
    char *end = buffer->bytes + buffer->length;
    buffer->length = needed;
    return end;
}

void pst_append(pst_buffer *buffer, pst_text text) {
    memcpy(extend(buffer, text.length), text.bytes, text.length);
}

void pst_append_byte(pst_buffer *buffer, char byte) {
    *extend(buffer, 1) = byte;
}

pst_text pst_buffer_text(const pst_buffer *buffer) {
    return (pst_text){buffer->bytes ? buffer->bytes : "", buffer->length};
}
