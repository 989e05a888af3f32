/* The host's functions in the canonical ABI. Only those that a plugin uses become imports. */
#include "internal.h"

#define IMPORT(name) __attribute__((import_module("grain:plugin/host"), import_name(name))) extern

IMPORT("log") void host_log(uint32_t level, const char *message, size_t bytes);

/* option<string> */
typedef struct {
    uint8_t is_some;
    pst_text value;
} optional_text;
IMPORT("env-get") void host_env_get(const char *key, size_t bytes, optional_text *result);

/* result<http-response, string> */
typedef struct {
    uint8_t is_error;
    union {
        struct {
            uint16_t status;
            const pst_header *headers;
            size_t header_count;
            pst_text body;
        } response;
        pst_text problem;
    } as;
} http_result;
IMPORT("http-get") void host_http_get(
    const char *url, size_t url_bytes, const pst_header *headers, size_t header_count, http_result *result);
IMPORT("http-post") void host_http_post(
    const char *url,
    size_t url_bytes,
    const pst_header *headers,
    size_t header_count,
    const char *body,
    size_t body_bytes,
    http_result *result);

void pst_log(pst_level level, const char *format, ...) {
    pst_buffer message = {0};
    va_list arguments;
    va_start(arguments, format);
    pst_appendv(&message, format, arguments);
    va_end(arguments);
    pst_text text = pst_buffer_text(&message);
    host_log(level, text.bytes, text.length);
}

bool pst_env(const char *name, pst_text *value) {
    optional_text result = {0};
    pst_text key = pst_text_of(name);
    host_env_get(key.bytes, key.length, &result);
    if (result.is_some) *value = result.value;
    return result.is_some;
}

static bool take(const http_result *result, pst_response *response, pst_text *problem) {
    if (result->is_error) {
        *problem = result->as.problem;
        return false;
    }
    *response = (pst_response){
        result->as.response.status,
        result->as.response.headers,
        result->as.response.header_count,
        result->as.response.body,
    };
    return true;
}

bool pst_http_get(
    pst_text url, const pst_header *headers, size_t header_count, pst_response *response, pst_text *problem) {
    http_result result = {0};
    host_http_get(url.bytes, url.length, headers, header_count, &result);
    return take(&result, response, problem);
}

bool pst_http_post(
    pst_text url,
    const pst_header *headers,
    size_t header_count,
    pst_text body,
    pst_response *response,
    pst_text *problem) {
    http_result result = {0};
    host_http_post(url.bytes, url.length, headers, header_count, body.bytes, body.length, &result);
    return take(&result, response, problem);
}
