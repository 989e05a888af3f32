/* Shows what penstock.h does: each tool hands a part of it to the tests. */
#include <penstock.h>

#define ANY_PARAMS PST_JSON({"type": "object"})

/* {"value": …} -> what it is, read and written again. Arrays and objects level by level. */
static void write_value(pst_writer *out, pst_value value);

static void write_object(pst_writer *out, pst_text json) {
    pst_object object;
    if (pst_read_object(json, &object)) __builtin_trap();
    pst_begin_object(out);
    for (size_t i = 0; i < object.count; i++) {
        pst_key_text(out, object.members[i].name);
        write_value(out, object.members[i].value);
    }
    pst_end_object(out);
}

static void write_array(pst_writer *out, pst_text json) {
    pst_array array;
    if (pst_read_array(json, &array)) __builtin_trap();
    pst_begin_array(out);
    for (size_t i = 0; i < array.count; i++) write_value(out, array.values[i]);
    pst_end_array(out);
}

static void write_value(pst_writer *out, pst_value value) {
    switch (value.kind) {
        case PST_ABSENT: __builtin_trap();
        case PST_NULL: pst_write_null(out); break;
        case PST_BOOLEAN: pst_write_boolean(out, value.boolean); break;
        case PST_NUMBER: pst_write_double(out, pst_number(value)); break;
        case PST_STRING: pst_write_text(out, value.text); break;
        case PST_ARRAY: write_array(out, value.text); break;
        case PST_OBJECT: write_object(out, value.text); break;
    }
}

static pst_result echo(const pst_object *params) {
    pst_writer out = {0};
    write_value(&out, pst_get(params, "value"));
    return pst_return(&out);
}

/* {"integer": …, "number": …} */
static pst_result numbers(const pst_object *params) {
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "integer", pst_get_integer(params, "integer", -1));
    pst_field_text(&out, "as_text", pst_format("%g", pst_get_number(params, "number", 0)));
    pst_end_object(&out);
    return pst_return(&out);
}

/* What the getters give for `here` and `absent`. */
static pst_result getters(const pst_object *params) {
    pst_writer out = {0};
    pst_begin_array(&out);
    pst_write_text(&out, pst_get_text(params, "text", PST_TEXT("none")));
    pst_write_double(&out, pst_get_number(params, "number", 0.5));
    pst_write_integer(&out, pst_get_integer(params, "integer", -7));
    pst_write_boolean(&out, pst_get_boolean(params, "boolean", true));
    pst_end_array(&out);
    return pst_return(&out);
}

static pst_result formats(const pst_object *params) {
    (void)params;
    pst_text text = PST_TEXT("text");
    pst_buffer buffer = {0};
    pst_appendf(&buffer, "%s|%.*s|%c|%d|%i|%u|%x|", "literal", PST_ARG(text), 'c', -1, 2, 4294967295u, 255u);
    pst_appendf(&buffer, "%ld|%lu|%lld|%llu|%zu|", -3l, 4ul, INT64_MIN, UINT64_MAX, sizeof(text));
    pst_appendf(&buffer, "%g|%g|%%", 0.1, 2.0);
    pst_writer out = {0};
    pst_write_text(&out, pst_buffer_text(&buffer));
    return pst_return(&out);
}

/* {"text": …} -> its code points, its length, and the text made of them again. */
static pst_result code_points(const pst_object *params) {
    pst_text text = pst_get_text(params, "text", PST_TEXT(""));
    pst_buffer again = {0};
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "count", (int64_t)pst_code_points(text));
    pst_key(&out, "code_points");
    pst_begin_array(&out);
    for (pst_text rest = text; rest.length;) {
        uint32_t code_point = pst_next_code_point(&rest);
        char utf8[4];
        pst_append(&again, (pst_text){utf8, pst_encode_code_point(code_point, utf8)});
        pst_write_integer(&out, code_point);
    }
    pst_end_array(&out);
    pst_field_text(&out, "again", pst_buffer_text(&again));
    pst_end_object(&out);
    return pst_return(&out);
}

/* Bytes that are no UTF-8. {"hex": …} -> the code points that reading them gives. */
static pst_result invalid_utf8(const pst_object *params) {
    pst_text hex = pst_get_text(params, "hex", PST_TEXT(""));
    pst_buffer bytes = {0};
    for (size_t i = 0; i + 1 < hex.length; i += 2) {
        int high = hex.bytes[i] - (hex.bytes[i] > '9' ? 'a' - 10 : '0');
        int low = hex.bytes[i + 1] - (hex.bytes[i + 1] > '9' ? 'a' - 10 : '0');
        pst_append_byte(&bytes, (char)(high << 4 | low));
    }
    pst_writer out = {0};
    pst_begin_array(&out);
    for (pst_text rest = pst_buffer_text(&bytes); rest.length;)
        pst_write_integer(&out, pst_next_code_point(&rest));
    pst_end_array(&out);
    return pst_return(&out);
}

/* {"json": …} -> what is wrong with it as an object and as an array, or null. */
static pst_result problems(const pst_object *params) {
    pst_text json = pst_get_text(params, "json", PST_TEXT(""));
    pst_object object;
    pst_array array;
    const char *found[] = {pst_read_object(json, &object), pst_read_array(json, &array)};
    pst_writer out = {0};
    pst_begin_array(&out);
    for (int i = 0; i < 2; i++) {
        if (found[i])
            pst_write_text(&out, pst_text_of(found[i]));
        else
            pst_write_null(&out);
    }
    pst_end_array(&out);
    return pst_return(&out);
}

/* Many allocations, given back in between; what is kept must stay whole. -> how many bytes are wrong. */
static pst_result arena(const pst_object *params) {
    int64_t rounds = pst_get_integer(params, "rounds", 0), wrong = 0;
    unsigned char *kept = pst_alloc(1000);
    memset(kept, 0xAB, 1000);
    for (int64_t round = 0; round < rounds; round++) {
        pst_mark mark = pst_arena_mark();
        memset(pst_alloc(100000), (int)round, 100000);
        pst_buffer growing = {0};
        for (int i = 0; i < 1000; i++) pst_append_byte(&growing, (char)i);
        for (int i = 0; i < 1000; i++) wrong += growing.bytes[i] != (char)i;
        pst_arena_release(mark);
    }
    for (int i = 0; i < 1000; i++) wrong += kept[i] != 0xAB;
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "wrong", wrong);
    pst_field_boolean(&out, "aligned", (uintptr_t)pst_alloc(3) % 16 == 0 && (uintptr_t)pst_alloc(0) % 16 == 0);
    pst_field_integer(&out, "pages", (int64_t)__builtin_wasm_memory_size(0));
    pst_end_object(&out);
    return pst_return(&out);
}

static pst_result greedy(const pst_object *params) {
    PST_NEW(double, (size_t)pst_get_number(params, "count", 0));
    pst_writer out = {0};
    pst_write_null(&out);
    return pst_return(&out);
}

static pst_result failure(const pst_object *params) {
    if (pst_get_boolean(params, "later", false)) return pst_fail_for(1.5, "Too many of \"%s\".", "these");
    return pst_fail(PST_NOT_FOUND, "There is no %s.", "such\nthing");
}

/* Uses every function of the host. */
static pst_result host(const pst_object *params) {
    pst_log(PST_WARN, "%d lines", 3);
    pst_text home = PST_TEXT("unset"), problem = PST_TEXT("");
    pst_env("HOME", &home);
    pst_header header = {PST_TEXT("accept"), PST_TEXT("text/plain")};
    pst_response response = {0};
    pst_text url = PST_TEXT("https://example.com/");
    bool done = pst_get_boolean(params, "post", false)
                    ? pst_http_post(url, &header, 1, PST_TEXT("body"), &response, &problem)
                    : pst_http_get(url, &header, 1, &response, &problem);
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_text(&out, "home", home);
    pst_field_boolean(&out, "done", done);
    pst_field_text(&out, "problem", problem);
    pst_field_integer(&out, "status", response.status);
    pst_field_text(&out, "body", response.body);
    for (size_t i = 0; i < response.header_count; i++) {
        pst_key_text(&out, response.headers[i].name);
        pst_write_text(&out, response.headers[i].value);
    }
    pst_end_object(&out);
    return pst_return(&out);
}

#define TOOL(function) {.name = #function, .description = "", .parameters = ANY_PARAMS, .run = function}

PST_PLUGIN(
    TOOL(echo),
    TOOL(numbers),
    TOOL(getters),
    TOOL(formats),
    TOOL(code_points),
    TOOL(invalid_utf8),
    TOOL(problems),
    TOOL(arena),
    TOOL(greedy),
    TOOL(failure),
    TOOL(host))
