/* What the files here share; see __init__.py. */

#ifndef ASPECTS_NATIVE_H
#define ASPECTS_NATIVE_H

#define PY_SSIZE_T_CLEAN
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <Python.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

typedef const unsigned char *Bytes;

/* Where `needle` (of two bytes or more) first stands in `size` bytes; NULL if nowhere. */
static inline Bytes search(Bytes at, Py_ssize_t size, const char *needle, Py_ssize_t length)
{
    if (size < length) {
        return NULL;
    }
#ifdef __SSE2__
    /* The first and the last byte are looked for at sixteen places at once. */
    const __m128i first = _mm_set1_epi8(needle[0]);
    const __m128i last = _mm_set1_epi8(needle[length - 1]);
    Py_ssize_t i = 0;
    for (; i + length - 1 + 16 <= size; i += 16) {
        const __m128i here = _mm_loadu_si128((const __m128i *)(at + i));
        const __m128i there = _mm_loadu_si128((const __m128i *)(at + i + length - 1));
        unsigned found = (unsigned)_mm_movemask_epi8(
            _mm_and_si128(_mm_cmpeq_epi8(here, first), _mm_cmpeq_epi8(there, last)));
        while (found) {
            Bytes candidate = at + i + __builtin_ctz(found);
            if (memcmp(candidate, needle, (size_t)length) == 0) {
                return candidate;
            }
            found &= found - 1;
        }
    }
    for (; i + length <= size; i++) {
        if (memcmp(at + i, needle, (size_t)length) == 0) {
            return at + i;
        }
    }
    return NULL;
#else
    return memmem(at, (size_t)size, needle, (size_t)length);
#endif
}

#define SEARCH(at, size, text) search((at), (size), (text), (Py_ssize_t)sizeof(text) - 1)
#define STARTS(at, size, text) \
    ((size) >= (Py_ssize_t)sizeof(text) - 1 && memcmp((at), (text), sizeof(text) - 1) == 0)

/* Bytes that belong to somebody else. */
typedef struct {
    Bytes at;
    Py_ssize_t size;
} Stretch;

static inline Stretch stretch_of(PyObject *bytes)
{
    return (Stretch){(Bytes)PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)};
}

static inline unsigned char *put(unsigned char *out, Stretch stretch)
{
    memcpy(out, stretch.at, (size_t)stretch.size);
    return out + stretch.size;
}

static inline int bytes_in_tuple(PyObject *starts)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(starts); i++) {
        if (!PyBytes_CheckExact(PyTuple_GET_ITEM(starts, i))) {
            return 0;
        }
    }
    return 1;
}

static inline int is_tuple_class(PyObject *type)
{
    return PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type);
}

/* A function that takes its arguments as an array, for a table of methods. */
#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

/* The keys of an event that are looked at, interned (module.c). */
extern PyObject *key_event, *key_data, *key_name, *key_timestamp, *key_time;
extern PyObject *key_context, *key_course_id, *key_session, *key_user_id, *key_username;

/* Microseconds from 1970-01-01 UTC to a time in its canonical form; -1 for anything else (events.c). */
int64_t canonical(PyObject *text);
/* The transformers' search for a name in an event; borrowed. NULL with an exception set (events.c). */
PyObject *found_or_none(PyObject *event, PyObject *name);
/* The UUID of version 5 of a name in a namespace, the first of three stretches: its 16 bytes, and its text (ids.c). */
void uuid5(const Stretch parts[3], unsigned char identity[20], unsigned char text[36]);
/* Hash with the processor's own instructions if it has them and they are wanted; whether it does (ids.c). */
int choose_sha(int wanted);

extern PyMethodDef methods_of_lines[], methods_of_events[], methods_of_ids[], methods_of_statements[], methods_of_rows[];

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
