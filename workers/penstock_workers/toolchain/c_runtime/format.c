/* A small printf: see penstock.h for what it knows. */
#include "internal.h"

/* Small is better than fast here. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static void append_in_base(pst_buffer *buffer, uint64_t number, unsigned base) {
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    pst_append(buffer, (pst_text){digits + first, sizeof digits - first});
}

void pst_append_unsigned(pst_buffer *buffer, uint64_t number) {
    append_in_base(buffer, number, 10);
}

void pst_append_integer(pst_buffer *buffer, int64_t number) {
    if (number < 0) pst_append_byte(buffer, '-');
    append_in_base(buffer, number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
}

/* int, long and size_t have 32 bits here, long long has 64. */
static int64_t next_signed(va_list *arguments, bool wide) {
    return wide ? va_arg(*arguments, long long) : va_arg(*arguments, int);
}

static uint64_t next_unsigned(va_list *arguments, bool wide) {
    return wide ? va_arg(*arguments, unsigned long long) : va_arg(*arguments, unsigned);
}

void pst_appendv(pst_buffer *buffer, const char *format, va_list original) {
    va_list arguments;
    va_copy(arguments, original);
    while (*format) {
        if (*format != '%') {
            pst_append_byte(buffer, *format++);
            continue;
        }
        format++;
        bool bounded = format[0] == '.' && format[1] == '*';
        if (bounded) format += 2;
        unsigned longs = 0;
        for (; *format == 'l' || *format == 'z'; format++) longs += *format == 'l';
        switch (*format) {
            case 's':
                if (bounded) {
                    int length = va_arg(arguments, int);
                    pst_append(buffer, (pst_text){va_arg(arguments, const char *), (size_t)length});
                } else {
                    pst_append(buffer, pst_text_of(va_arg(arguments, const char *)));
                }
                break;
            case 'c': pst_append_byte(buffer, (char)va_arg(arguments, int)); break;
            case 'd':
            case 'i': pst_append_integer(buffer, next_signed(&arguments, longs > 1)); break;
            case 'u': append_in_base(buffer, next_unsigned(&arguments, longs > 1), 10); break;
            case 'x': append_in_base(buffer, next_unsigned(&arguments, longs > 1), 16); break;
            case 'g': pst_append_double(buffer, va_arg(arguments, double)); break;
            case '%': pst_append_byte(buffer, '%'); break;
            default: __builtin_trap(); /* a conversion that is not in penstock.h's list */
        }
        format++;
    }
    va_end(arguments);
}

void pst_appendf(pst_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pst_appendv(buffer, format, arguments);
    va_end(arguments);
}

pst_text pst_format(const char *format, ...) {
    pst_buffer buffer = {0};
    va_list arguments;
    va_start(arguments, format);
    pst_appendv(&buffer, format, arguments);
    va_end(arguments);
    return pst_buffer_text(&buffer);
}

#pragma clang attribute pop
