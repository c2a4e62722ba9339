/* What is done once a line or once a statement, in C: each function here has a twin in Python that gives the same.
 *
 * The twins are what runs where there was no compiler at installation, and what the tests hold these against:
 * tracking/lines.py (scan), tracking/names.py (may_be_in), tracking/chunks.py (newlines), tracking/events.py
 * (usual_event, canonical_micros, openings), xapi/statement_id.py (statement_id), xapi/built.py (assembled),
 * xapi/fast/builders/statements.py (usual_statement), warehouse/load.py (add_statements), xapi/fast/builders/common.py (found, absent).
 *
 * All input is hostile: every look into a buffer is bounded by its length, and whatever is not exactly the usual is
 * handed back to Python.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define WITH_SHA_INSTRUCTIONS 1
#endif

typedef const unsigned char *Bytes;

/* Where `needle` (of two bytes or more) first stands in `size` bytes; NULL if nowhere. */
static Bytes search(Bytes at, Py_ssize_t size, const char *needle, Py_ssize_t length)
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

/* Whether a letter, digit or dot may be hidden behind a JSON escape. */
static int hides_letter(Bytes at, Py_ssize_t size)
{
    Bytes end = at + size;
    while ((at = SEARCH(at, end - at, "\\u00")) != NULL) {
        if (end - at >= 5 && at[4] >= '2' && at[4] <= '7') {
            return 1;
        }
        at++;
    }
    return 0;
}

/* Whether a stretch of bytes is among the names; -1 with an exception set. */
static int is_name(PyObject *names, Bytes at, Py_ssize_t size)
{
    PyObject *name = PyBytes_FromStringAndSize((const char *)at, size);
    if (name == NULL) {
        return -1;
    }
    int found = PySet_Contains(names, name);
    Py_DECREF(name);
    return found;
}

/* Whether a line, which begins and ends as an event does, has none of the names and cannot hide one; -1: exception. */
static int passed_over(PyObject *names, Bytes line, Py_ssize_t size)
{
    static const char first[] = "{\"name\": \"";
    if (!STARTS(line, size, first)) {
        return 0;
    }
    Bytes name = line + sizeof(first) - 1;
    Bytes end = memchr(name, '"', (size_t)(line + size - name));
    if (end == NULL || end == name) {
        return 0;
    }
    int known = is_name(names, name, end - name);
    if (known) {
        return known < 0 ? -1 : 0;
    }
    return SEARCH(end, line + size - end, "\"name\"") == NULL && !hides_letter(line, size);
}

static int starts_as_event(PyObject *starts, Bytes at, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(starts); i++) {
        PyObject *start = PyTuple_GET_ITEM(starts, i);
        Py_ssize_t length = PyBytes_GET_SIZE(start);
        if (length <= size && memcmp(at, PyBytes_AS_STRING(start), (size_t)length) == 0) {
            return 1;
        }
    }
    return 0;
}

/* A `Line`, of a named tuple's class: (offset, raw, body, None, 1). */
static PyObject *new_line(PyTypeObject *type, Py_ssize_t offset, Bytes raw, Py_ssize_t size, Bytes body, Py_ssize_t length)
{
    PyObject *line = type->tp_alloc(type, 5);
    if (line == NULL) {
        return NULL;
    }
    PyObject *values[5] = {
        PyLong_FromSsize_t(offset),
        PyBytes_FromStringAndSize((const char *)raw, size),
        PyBytes_FromStringAndSize((const char *)body, length),
        Py_NewRef(Py_None),
        PyLong_FromLong(1),
    };
    int whole = 1;
    for (int i = 0; i < 5; i++) {
        whole &= values[i] != NULL;
        PyTuple_SET_ITEM(line, i, values[i]);
    }
    if (!whole) {
        Py_DECREF(line);
        return NULL;
    }
    return line;
}

static int bytes_in_tuple(PyObject *starts)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(starts); i++) {
        if (!PyBytes_CheckExact(PyTuple_GET_ITEM(starts, i))) {
            return 0;
        }
    }
    return 1;
}

PyDoc_STRVAR(scan_doc,
"scan(data, position, starts, names, line_class, most) -> (lines, position, passed)\n\n"
"Usual lines from a position on, as tracking/lines.py tells them: those that are not passed over as `line_class`, at\n"
"most `most` of them, and how many were passed over. Ends in front of the first line that is not usual.");

static PyObject *scan(PyObject *module, PyObject *arguments)
{
    PyObject *data, *starts, *names, *type;
    Py_ssize_t position, most;
    if (!PyArg_ParseTuple(arguments, "SnO!OO!n", &data, &position, &PyTuple_Type, &starts, &names, &PyType_Type, &type, &most)) {
        return NULL;
    }
    if (!PyAnySet_Check(names) || !bytes_in_tuple(starts) || !PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "scan takes a tuple of bytes, a set of bytes, and a class of tuples");
        return NULL;
    }
    Bytes begin = (Bytes)PyBytes_AS_STRING(data);
    const Py_ssize_t all = PyBytes_GET_SIZE(data);
    if (position < 0 || position > all) {
        PyErr_SetString(PyExc_ValueError, "the position is outside the data");
        return NULL;
    }
    PyObject *lines = PyList_New(0);
    Py_ssize_t passed = 0;
    if (lines == NULL) {
        return NULL;
    }
    while (position < all && PyList_GET_SIZE(lines) < most) {
        Bytes line = begin + position;
        Bytes newline = memchr(line, '\n', (size_t)(all - position));
        const Py_ssize_t size = newline == NULL ? all - position : newline + 1 - line;
        Py_ssize_t body_end = size;
        if (newline != NULL) {
            body_end -= 1;
            if (body_end > 0 && line[body_end - 1] == '\r') {
                body_end -= 1;
            }
        }
        Bytes body = memchr(line, '{', (size_t)size);
        if (body == NULL || line[body_end - 1] != '}' || !starts_as_event(starts, body, line + size - body)
            || SEARCH(line, size, "\"event_type\"") == NULL) {
            break;
        }
        if (body == line) {
            int passes = passed_over(names, line, size);
            if (passes < 0) {
                goto failed;
            }
            if (passes) {
                passed++;
                position += size;
                continue;
            }
        } else if (size > 10 && line[10] == 'T') {
            break; /* perhaps a container runtime's */
        }
        PyObject *made = new_line((PyTypeObject *)type, position, line, size, body, line + body_end - body);
        if (made == NULL) {
            goto failed;
        }
        int failure = PyList_Append(lines, made);
        Py_DECREF(made);
        if (failure) {
            goto failed;
        }
        position += size;
    }
    return Py_BuildValue("(Nnn)", lines, position, passed);
failed:
    Py_DECREF(lines);
    return NULL;
}

PyDoc_STRVAR(may_be_in_doc,
"may_be_in(body, names) -> bool\n\nWhether an event's JSON text may be of one of these names: see tracking/names.py.");

static PyObject *may_be_in(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyAnySet_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "may_be_in takes bytes, and a set of bytes");
        return NULL;
    }
    static const struct { const char *text; Py_ssize_t length; } keys[] = {{"\"name\"", 6}, {"\"event_type\"", 12}};
    Bytes body = (Bytes)PyBytes_AS_STRING(arguments[0]);
    const Py_ssize_t size = PyBytes_GET_SIZE(arguments[0]);
    Bytes end = body + size;
    int seen = 0;
    if (size == 0 || end[-1] != '}') {
        Py_RETURN_TRUE;
    }
    for (int i = 0; i < 2; i++) {
        Bytes at = search(body, size, keys[i].text, keys[i].length);
        while (at != NULL) {
            Bytes name = at + keys[i].length;
            if (STARTS(name, end - name, ": \"")) {
                name += 3;
            } else if (STARTS(name, end - name, ":\"")) {
                name += 2;
            } else {
                Py_RETURN_TRUE;
            }
            Bytes closing = memchr(name, '"', (size_t)(end - name));
            if (closing == NULL) {
                Py_RETURN_TRUE; /* a text that does not end */
            }
            int known = is_name(arguments[1], name, closing - name);
            if (known < 0) {
                return NULL;
            }
            if (known) {
                Py_RETURN_TRUE;
            }
            seen = 1;
            at = search(closing, end - closing, keys[i].text, keys[i].length);
        }
    }
    if (!seen || SEARCH(body, size, "\"event\"") == NULL) {
        Py_RETURN_TRUE;
    }
    return PyBool_FromLong(hides_letter(body, size));
}

PyDoc_STRVAR(newlines_doc, "newlines(data) -> int\n\nHow many line ends there are.");

static PyObject *newlines(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "newlines takes bytes");
        return NULL;
    }
    Bytes at = (Bytes)PyBytes_AS_STRING(data);
    Bytes end = at + PyBytes_GET_SIZE(data);
    Py_ssize_t found = 0;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        found++;
        at++;
    }
    return PyLong_FromSsize_t(found);
}

static Py_ssize_t openings_in(Bytes at, Py_ssize_t size)
{
    Bytes end = at + size;
    Py_ssize_t found = 0;
#ifdef __SSE2__
    /* The two brackets differ in one bit. */
    const __m128i bit = _mm_set1_epi8(0x20);
    const __m128i brace = _mm_set1_epi8('{');
    for (; end - at >= 16; at += 16) {
        const __m128i here = _mm_or_si128(_mm_loadu_si128((const __m128i *)at), bit);
        const unsigned open = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(here, brace));
        if (open) {
            found += __builtin_popcount(open);
        }
    }
#endif
    for (; at < end; at++) {
        found += *at == '{' || *at == '[';
    }
    return found;
}

PyDoc_STRVAR(openings_doc, "openings(text) -> int\n\nHow many brackets that open an object or a list there are.");

static PyObject *openings(PyObject *module, PyObject *text)
{
    if (!PyBytes_CheckExact(text)) {
        PyErr_SetString(PyExc_TypeError, "openings takes bytes");
        return NULL;
    }
    return PyLong_FromSsize_t(openings_in((Bytes)PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)));
}

static int number(const unsigned char *digits, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return 0;
        }
        *value = *value * 10 + (digits[i] - '0');
    }
    return 1;
}

/* Microseconds from 1970-01-01 UTC to a time in its canonical form; -1 for anything else. */
static int64_t canonical(PyObject *text)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return -1;
    }
    const unsigned char *at = PyUnicode_1BYTE_DATA(text);
    const Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    int year, month, day, hour, minute, second, micros = 0;
    if ((size != 25 && size != 32) || memcmp(at + size - 6, "+00:00", 6) != 0 || at[4] != '-' || at[7] != '-'
        || at[10] != 'T' || at[13] != ':' || at[16] != ':' || !number(at, 4, &year) || !number(at + 5, 2, &month)
        || !number(at + 8, 2, &day) || !number(at + 11, 2, &hour) || !number(at + 14, 2, &minute)
        || !number(at + 17, 2, &second) || (size == 32 && (at[19] != '.' || !number(at + 20, 6, &micros)))) {
        return -1;
    }
    if (year < 1970 || year > 2105 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
        return -1;
    }
    const int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && leap)) {
        return -1;
    }
    int64_t days = day - 1 + (month > 2 && leap);
    for (int i = 0; i < month - 1; i++) {
        days += lengths[i];
    }
    /* Leap days of the whole years before this one. */
    const int before = year - 1;
    days += (int64_t)(year - 1970) * 365 + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + micros;
}

PyDoc_STRVAR(canonical_micros_doc,
"canonical_micros(text) -> int | None\n\n"
"Microseconds from 1970-01-01 UTC to a time written as YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00; None for any other text,\n"
"and for a time before 1970 or after 2105.");

static PyObject *canonical_micros(PyObject *module, PyObject *text)
{
    const int64_t micros = canonical(text);
    if (micros < 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(micros);
}

/* The keys of an event that are looked at, interned. */
static PyObject *key_event, *key_data, *key_name, *key_timestamp, *key_time;
static PyObject *key_context, *key_course_id, *key_session, *key_user_id, *key_username;

/* Whether a text, `size` bytes of UTF-8, may be nested deeper than the readers go. */
static int may_be_too_deep(Bytes text, Py_ssize_t size)
{
    enum { most_levels = 800 };
    return size >= 2 * most_levels && openings_in(text, size) > most_levels;
}

/* What a text says if it is JSON, or the text itself if it cannot be: a new reference. NULL without an exception if that
 * is for Python to say. */
static PyObject *nested(PyObject *text, PyObject *loads)
{
    static const char starts[] = "{[\"-0123456789tfnNI \t\n\r";
    if (!PyUnicode_CheckExact(text) || PyUnicode_GET_LENGTH(text) == 0) {
        return Py_NewRef(text);
    }
    const Py_UCS4 first = PyUnicode_READ_CHAR(text, 0);
    if (first == 0 || first > 127 || strchr(starts, (int)first) == NULL) {
        return Py_NewRef(text);
    }
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    PyObject *found = NULL;
    if (utf8 != NULL && !may_be_too_deep((Bytes)utf8, size)) {
        found = PyObject_CallOneArg(loads, text);
    }
    return found;
}

PyDoc_STRVAR(usual_event_doc,
"usual_event(body, names, loads) -> (event, micros) | str | None\n\n"
"A usual event of one of the names, and its moment; or its name, if it is of another; or None: see tracking/events.py.");

static PyObject *usual_event(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyBytes_CheckExact(arguments[0]) || !PyAnySet_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "usual_event takes bytes, a set, and what parses JSON");
        return NULL;
    }
    PyObject *body = arguments[0], *loads = arguments[2], *found = NULL;
    if (may_be_too_deep((Bytes)PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))) {
        Py_RETURN_NONE;
    }
    PyObject *event = PyObject_CallOneArg(loads, body);
    if (event == NULL || !PyDict_CheckExact(event)) {
        goto end;
    }
    PyObject *given = PyDict_GetItemWithError(event, key_event);
    if (given == NULL) {
        goto end;
    }
    PyObject *data = nested(given, loads);
    if (data == NULL) {
        goto end;
    }
    const int failed = PyDict_SetItem(event, key_data, data);
    Py_DECREF(data);
    if (failed) {
        goto end;
    }
    PyObject *name = PyDict_GetItemWithError(event, key_name);
    if (name == NULL || !PyUnicode_CheckExact(name) || PyUnicode_GET_LENGTH(name) == 0) {
        goto end;
    }
    const int known = PySet_Contains(arguments[1], name);
    if (known <= 0) {
        found = known ? NULL : Py_NewRef(name);
        goto end;
    }
    PyObject *timestamp = PyDict_GetItemWithError(event, key_timestamp);
    if (timestamp == NULL && !PyErr_Occurred()) {
        timestamp = PyDict_GetItemWithError(event, key_time);
        if (timestamp != NULL && PyDict_SetItem(event, key_timestamp, timestamp) < 0) {
            goto end;
        }
    }
    const int64_t micros = timestamp == NULL ? -1 : canonical(timestamp);
    if (micros >= 0) {
        found = Py_BuildValue("(OL)", event, (long long)micros);
    }
end:
    Py_XDECREF(event);
    if (found == NULL && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        /* What this parser does not read, others may. */
        PyErr_Clear();
    }
    return found != NULL ? found : Py_NewRef(Py_None);
}

/* SHA-1 (FIPS 180-4), for the ids of statements, which RFC 4122 makes with it; not for anything secret. */
static inline uint32_t rotated(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8
            | block[4 * i + 3];
    }
    for (int i = 16; i < 80; i++) {
        w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        const uint32_t next = rotated(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

#ifdef WITH_SHA_INSTRUCTIONS
/* The same with the processor's own instructions, which do four of the eighty rounds at once. */
__attribute__((target("sha,sse4.1"))) static void sha1_block_at_once(uint32_t state[5], const unsigned char *block)
{
    const __m128i bytes_turned = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    __m128i words[20];
    for (int i = 0; i < 4; i++) {
        words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), bytes_turned);
    }
    for (int i = 4; i < 20; i++) {
        const __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(words[i - 4], words[i - 3]), words[i - 2]);
        words[i] = _mm_sha1msg2_epu32(mixed, words[i - 1]);
    }
    const __m128i first = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1b);
    const __m128i first_e = _mm_set_epi32((int)state[4], 0, 0, 0);
    __m128i now = _mm_sha1rnds4_epu32(first, _mm_add_epi32(first_e, words[0]), 0), before = first;
#define ROUNDS(from, to, function) \
    for (int i = (from); i < (to); i++) { \
        const __m128i e = _mm_sha1nexte_epu32(before, words[i]); \
        before = now; \
        now = _mm_sha1rnds4_epu32(now, e, (function)); \
    }
    ROUNDS(1, 5, 0)
    ROUNDS(5, 10, 1)
    ROUNDS(10, 15, 2)
    ROUNDS(15, 20, 3)
#undef ROUNDS
    state[4] = (uint32_t)_mm_extract_epi32(_mm_sha1nexte_epu32(before, first_e), 3);
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(_mm_add_epi32(now, first), 0x1b));
}
#endif

static void (*hash_block)(uint32_t state[5], const unsigned char *block) = sha1_block;

PyDoc_STRVAR(use_sha_instructions_doc,
"use_sha_instructions(wanted) -> bool\n\nHash with the processor's own instructions, if it has them; whether it does.");

static PyObject *use_sha_instructions(PyObject *module, PyObject *wanted)
{
    hash_block = sha1_block;
#ifdef WITH_SHA_INSTRUCTIONS
    unsigned a, b = 0, c, d;
    if (wanted == Py_True && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA) {
        hash_block = sha1_block_at_once;
    }
#endif
    return PyBool_FromLong(hash_block != sha1_block);
}


/* Bytes that belong to somebody else. */
typedef struct {
    Bytes at;
    Py_ssize_t size;
} Stretch;

static Stretch stretch_of(PyObject *bytes)
{
    return (Stretch){(Bytes)PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)};
}

/* The SHA-1 of three stretches, one behind the other. */
static void sha1_of(const Stretch parts[3], unsigned char digest[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[64];
    const uint64_t bits = ((uint64_t)parts[0].size + (uint64_t)parts[1].size + (uint64_t)parts[2].size) * 8;
    Py_ssize_t held = 0;
    for (int part = 0; part < 3; part++) {
        Bytes at = parts[part].at;
        Py_ssize_t left = parts[part].size;
        while (left > 0) {
            const Py_ssize_t taken = left < 64 - held ? left : 64 - held;
            memcpy(block + held, at, (size_t)taken);
            held += taken;
            at += taken;
            left -= taken;
            if (held == 64) {
                hash_block(state, block);
                held = 0;
            }
        }
    }
    block[held++] = 0x80;
    if (held > 56) {
        memset(block + held, 0, (size_t)(64 - held));
        hash_block(state, block);
        held = 0;
    }
    memset(block + held, 0, (size_t)(56 - held));
    for (int i = 0; i < 8; i++) {
        block[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    hash_block(state, block);
    for (int i = 0; i < 20; i++) {
        digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* The UUID of version 5 of a name in a namespace, which is the first of three stretches: its 16 bytes, and its text. */
static void uuid5(const Stretch parts[3], unsigned char identity[20], unsigned char text[36])
{
    static const char hex[] = "0123456789abcdef";
    sha1_of(parts, identity);
    identity[6] = (identity[6] & 0x0f) | 0x50;
    identity[8] = (identity[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *text++ = '-';
        }
        *text++ = (unsigned char)hex[identity[i] >> 4];
        *text++ = (unsigned char)hex[identity[i] & 15];
    }
}

PyDoc_STRVAR(statement_id_doc,
"statement_id(namespace, name) -> (identity, text)\n\n"
"The UUID of version 5 of a name in a namespace: its 16 bytes in network order, and its text.");

static PyObject *statement_id(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "statement_id takes two bytes");
        return NULL;
    }
    const Stretch parts[3] = {stretch_of(arguments[0]), stretch_of(arguments[1]), {NULL, 0}};
    unsigned char identity[20], text[36];
    uuid5(parts, identity, text);
    return Py_BuildValue("(y#y#)", (char *)identity, (Py_ssize_t)16, (char *)text, (Py_ssize_t)36);
}

static unsigned char *put(unsigned char *out, Stretch stretch)
{
    memcpy(out, stretch.at, (size_t)stretch.size);
    return out + stretch.size;
}

/* What a statement is made of; all borrowed. */
typedef struct {
    PyObject *namespace, *actor_name, *actor, *verb, *verb_id;
    PyObject *timestamp, *micros;
} Pieces;

static int are_pieces(const Pieces *of)
{
    return PyBytes_CheckExact(of->namespace) && PyBytes_CheckExact(of->actor_name) && PyBytes_CheckExact(of->actor)
        && PyBytes_CheckExact(of->verb) && PyUnicode_CheckExact(of->timestamp)
        && PyUnicode_IS_COMPACT_ASCII(of->timestamp) && PyLong_CheckExact(of->micros);
}

/* A statement, of a named tuple's class: (identity, micros, event, verb_id). */
static PyObject *new_statement(PyTypeObject *type, const Pieces *of, const Stretch *rest, int count)
{
    enum { time_size = 19 };
    static const char before_id[] = "{\"id\":\"", before_rest[] = "\",", zone[] = "+00:00";
    const Stretch timestamp = {PyUnicode_1BYTE_DATA(of->timestamp), PyUnicode_GET_LENGTH(of->timestamp)};
    const long long micros = PyLong_AsLongLong(of->micros);
    if (micros == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (timestamp.size < time_size) {
        PyErr_SetString(PyExc_ValueError, "the time is not canonical");
        return NULL;
    }
    const Stretch named[3] = {stretch_of(of->namespace), stretch_of(of->actor_name), timestamp};
    unsigned char identity[20], text[36];
    uuid5(named, identity, text);
    /* The statement repeats a canonical time, without a fraction of zero. */
    const int whole = micros % 1000000 == 0;
    const Stretch first[] = {
        {(Bytes)before_id, sizeof(before_id) - 1},
        {text, 36},
        stretch_of(of->actor),
        stretch_of(of->verb),
        {timestamp.at, whole ? time_size : timestamp.size},
        {(Bytes)zone, whole ? (Py_ssize_t)sizeof(zone) - 1 : 0},
        {(Bytes)before_rest, sizeof(before_rest) - 1},
    };
    const int first_count = sizeof(first) / sizeof(first[0]);
    Py_ssize_t size = 0;
    for (int i = 0; i < first_count; i++) {
        size += first[i].size;
    }
    for (int i = 0; i < count; i++) {
        size += rest[i].size;
    }
    PyObject *event = PyBytes_FromStringAndSize(NULL, size);
    PyObject *id = PyBytes_FromStringAndSize((char *)identity, 16);
    PyObject *statement = event == NULL || id == NULL ? NULL : type->tp_alloc(type, 4);
    if (statement == NULL) {
        Py_XDECREF(event);
        Py_XDECREF(id);
        return NULL;
    }
    unsigned char *out = (unsigned char *)PyBytes_AS_STRING(event);
    for (int i = 0; i < first_count; i++) {
        out = put(out, first[i]);
    }
    for (int i = 0; i < count; i++) {
        out = put(out, rest[i]);
    }
    PyTuple_SET_ITEM(statement, 0, id);
    PyTuple_SET_ITEM(statement, 1, Py_NewRef(of->micros));
    PyTuple_SET_ITEM(statement, 2, event);
    PyTuple_SET_ITEM(statement, 3, Py_NewRef(of->verb_id));
    return statement;
}

static int is_tuple_class(PyObject *type)
{
    return PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type);
}

PyDoc_STRVAR(assembled_doc,
"assembled(statement_class, namespace, actor_name, timestamp, micros, actor, verb, rest, verb_id) -> statement\n\n"
"A statement out of its pieces, as `statement_class`: see xapi/built.py.");

static PyObject *assembled(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    enum { most = 8 };
    Stretch rest[most];
    if (count != 9 || !is_tuple_class(arguments[0]) || !PyTuple_CheckExact(arguments[7])
        || PyTuple_GET_SIZE(arguments[7]) > most || !bytes_in_tuple(arguments[7])) {
        goto wrong;
    }
    const Pieces of = {arguments[1], arguments[2], arguments[5], arguments[6], arguments[8], arguments[3], arguments[4]};
    if (!are_pieces(&of)) {
        goto wrong;
    }
    const int pieces = (int)PyTuple_GET_SIZE(arguments[7]);
    for (int i = 0; i < pieces; i++) {
        rest[i] = stretch_of(PyTuple_GET_ITEM(arguments[7], i));
    }
    return new_statement((PyTypeObject *)arguments[0], &of, rest, pieces);
wrong:
    PyErr_SetString(PyExc_TypeError,
                    "assembled takes a class of tuples, two bytes, a canonical time, an int, two bytes, a tuple of at most"
                    " eight bytes, and an object");
    return NULL;
}

/* A value that counts as found, anything that is true, and zero; else None. Borrowed; NULL with an exception set. */
static PyObject *counted(PyObject *value)
{
    const int true_ = PyObject_IsTrue(value);
    if (true_ < 0) {
        return NULL;
    }
    return true_ || PyFloat_CheckExact(value) || PyLong_Check(value) ? value : Py_None;
}

/* The value of a name in an object, or in the first object inside of it that has one; borrowed. NULL if there is none, and
 * with an exception set. */
static PyObject *found_in(PyObject *place, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(place, name);
    if (value != NULL) {
        return value == Py_None ? NULL : value;
    }
    if (PyErr_Occurred() || Py_EnterRecursiveCall(" while looking for a name")) {
        return NULL;
    }
    Py_ssize_t at = 0;
    PyObject *inner;
    while (value == NULL && PyDict_Next(place, &at, NULL, &inner)) {
        if (PyDict_CheckExact(inner) && PyDict_GET_SIZE(inner)) {
            value = found_in(inner, name);
            if (value == NULL && PyErr_Occurred()) {
                break;
            }
        }
    }
    Py_LeaveRecursiveCall();
    return value;
}

/* As `found` below; borrowed. NULL with an exception set. */
static PyObject *found_or_none(PyObject *event, PyObject *name)
{
    PyObject *value = found_in(event, name);
    if (value == NULL) {
        return PyErr_Occurred() ? NULL : Py_None;
    }
    return counted(value);
}

PyDoc_STRVAR(found_doc,
"found(event, name)\n\nThe transformers' search for a name in an event: see xapi/fast/builders/common.py.");

static PyObject *found(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyDict_CheckExact(arguments[0]) || !PyUnicode_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "found takes a dict and a str");
        return NULL;
    }
    return Py_XNewRef(found_or_none(arguments[0], arguments[1]));
}

/* Whether none of some names stands in an object, or in an object inside of it; -1: exception. */
static int absent_in(PyObject *place, PyObject *names)
{
    Py_ssize_t at = 0;
    PyObject *key, *inner;
    while (PyDict_Next(place, &at, &key, NULL)) {
        const int named = PySet_Contains(names, key);
        if (named) {
            return named < 0 ? -1 : 0;
        }
    }
    if (Py_EnterRecursiveCall(" while looking for names")) {
        return -1;
    }
    int none = 1;
    at = 0;
    while (none == 1 && PyDict_Next(place, &at, NULL, &inner)) {
        if (PyDict_CheckExact(inner) && PyDict_GET_SIZE(inner)) {
            none = absent_in(inner, names);
        }
    }
    Py_LeaveRecursiveCall();
    return none;
}

PyDoc_STRVAR(absent_doc,
"absent(place, names) -> bool\n\nWhether none of these names stands in an object, or in an object inside of it.");

static PyObject *absent(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyDict_CheckExact(arguments[0]) || !PyAnySet_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "absent takes a dict and a set");
        return NULL;
    }
    const int none = absent_in(arguments[0], arguments[1]);
    return none < 0 ? NULL : PyBool_FromLong(none);
}

/* Whom an event is about, by the transformers' rule: an id or a name. Borrowed; NULL if it is neither, and with an
 * exception set. */
static PyObject *user_of(PyObject *event, PyObject *data)
{
    PyObject *const keys[] = {key_user_id, key_username};
    for (int place = PyDict_CheckExact(data) ? 0 : 1; place < 2; place++) {
        for (int i = 0; i < 2; i++) {
            PyObject *user = place ? found_or_none(event, keys[i]) : PyDict_GetItemWithError(data, keys[i]);
            const int given = user == NULL ? 0 : PyObject_IsTrue(user);
            if (given) {
                return given > 0 && (PyLong_CheckExact(user) || PyUnicode_CheckExact(user)) ? user : NULL;
            }
            if (PyErr_Occurred()) {
                return NULL;
            }
        }
    }
    return NULL;
}

/* The two bytes that are kept for a key; 0 if nothing is, or with an exception set. */
static int kept(PyObject *cache, PyObject *key, PyObject **one, PyObject **two)
{
    PyObject *pair = PyDict_GetItemWithError(cache, key);
    if (pair == NULL || !PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
        return 0;
    }
    *one = PyTuple_GET_ITEM(pair, 0);
    *two = PyTuple_GET_ITEM(pair, 1);
    return PyBytes_CheckExact(*one) && PyBytes_CheckExact(*two);
}

PyDoc_STRVAR(usual_statement_doc,
"usual_statement(site, plan, event, micros) -> [statement] | None\n\n"
"The statement of an event of which the user and the course were met before; None if it takes more than that:\n"
"see xapi/fast/builders/statements.py.");

static PyObject *usual_statement(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *statement_class, *before_context, *before_session, *actors, *courses, *dumps;
    PyObject *build, *with_course, *namespace, *verb, *verb_id;
    if (count != 4 || !PyTuple_CheckExact(arguments[0]) || !PyTuple_CheckExact(arguments[1])
        || !PyDict_CheckExact(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "usual_statement takes two tuples, a dict and an int");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments[0], "OSSO!O!O", &statement_class, &before_context, &before_session, &PyDict_Type,
                          &actors, &PyDict_Type, &courses, &dumps)
        || !PyArg_ParseTuple(arguments[1], "OOSSU", &build, &with_course, &namespace, &verb, &verb_id)) {
        return NULL;
    }
    if (!is_tuple_class(statement_class)) {
        PyErr_SetString(PyExc_TypeError, "a statement's class is one of tuples");
        return NULL;
    }
    static const char without_course[] = "}}}";
    PyObject *event = arguments[2], *micros = arguments[3], *body = NULL, *session_text = NULL, *made = NULL;
    PyObject *timestamp = PyDict_GetItemWithError(event, key_timestamp);
    PyObject *context = PyDict_GetItemWithError(event, key_context);
    PyObject *session = PyDict_GetItemWithError(event, key_session);
    PyObject *data = PyDict_GetItemWithError(event, key_data);
    if (timestamp == NULL || context == NULL || session == NULL || data == NULL || canonical(timestamp) < 0
        || !PyDict_CheckExact(context)) {
        goto end;
    }
    PyObject *course_id = PyDict_GetItemWithError(context, key_course_id);
    if (course_id == NULL || !PyUnicode_CheckExact(course_id) || PyUnicode_GET_LENGTH(course_id) == 0
        || (session != Py_None && !PyUnicode_CheckExact(session))) {
        goto end;
    }
    /* The builder is Python: what it could take out of the event is held. */
    Py_INCREF(context);
    Py_INCREF(timestamp);
    Py_INCREF(course_id);
    Py_INCREF(data);
    if (session != Py_None && PyUnicode_GET_LENGTH(session)) {
        session_text = PyObject_CallOneArg(dumps, session);
    }
    if (!PyErr_Occurred()) {
        PyObject *const given[] = {event, data, context};
        body = PyObject_Vectorcall(build, given, 3, NULL);
    }
    if (body == NULL || !PyTuple_CheckExact(body) || PyTuple_GET_SIZE(body) != 2 || !bytes_in_tuple(body)
        || (session_text != NULL && !PyBytes_CheckExact(session_text))) {
        goto release;
    }
    PyObject *actor, *actor_name, *activities = NULL, *course;
    PyObject *user = user_of(event, data);
    if (user == NULL || !kept(actors, user, &actor, &actor_name)
        || (with_course == Py_True && !kept(courses, course_id, &activities, &course))) {
        goto release;
    }
    const Pieces of = {namespace, actor_name, actor, verb, verb_id, timestamp, micros};
    if (are_pieces(&of)) {
        const Stretch rest[] = {
            stretch_of(PyTuple_GET_ITEM(body, 0)),
            stretch_of(session_text == NULL ? before_context : before_session),
            session_text == NULL ? (Stretch){(Bytes)"", 0} : stretch_of(session_text),
            stretch_of(PyTuple_GET_ITEM(body, 1)),
            activities == NULL ? (Stretch){(Bytes)without_course, sizeof(without_course) - 1} : stretch_of(activities),
        };
        PyObject *statement = new_statement((PyTypeObject *)statement_class, &of, rest, 5);
        made = statement == NULL ? NULL : PyList_New(1);
        if (made == NULL) {
            Py_XDECREF(statement);
        } else {
            PyList_SET_ITEM(made, 0, statement);
        }
    }
release:
    Py_DECREF(context);
    Py_DECREF(timestamp);
    Py_DECREF(course_id);
    Py_DECREF(data);
end:
    Py_XDECREF(session_text);
    Py_XDECREF(body);
    if (made == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return made != NULL ? made : Py_NewRef(Py_None);
}

static unsigned char *put_little_endian(unsigned char *out, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) {
        *out++ = (unsigned char)(value >> (8 * i));
    }
    return out;
}

/* What a row is made of, besides its statement. */
typedef struct {
    Stretch file;
    unsigned long long byte_offset;
} Place;

/* Append a row to a bytearray; -1 with an exception, and the bytearray as it was. */
static int append_row(PyObject *rows, Bytes identity, long long micros, PyObject *event, const Place *place, uint64_t number)
{
    const Py_ssize_t event_size = PyBytes_GET_SIZE(event);
    const Py_ssize_t before = PyByteArray_GET_SIZE(rows);
    /* A length has at most ten bytes. */
    if (PyByteArray_Resize(rows, before + 16 + 8 + 10 + event_size + place->file.size + 10) < 0) {
        return -1;
    }
    unsigned char *begin = (unsigned char *)PyByteArray_AS_STRING(rows) + before;
    unsigned char *out = begin;
    for (int i = 7; i >= 0; i--) {
        *out++ = identity[i];
    }
    for (int i = 15; i >= 8; i--) {
        *out++ = identity[i];
    }
    out = put_little_endian(out, (uint64_t)micros, 8);
    size_t length = (size_t)event_size;
    while (length > 127) {
        *out++ = (unsigned char)(length & 127) | 128;
        length >>= 7;
    }
    *out++ = (unsigned char)length;
    out = put(out, stretch_of(event));
    out = put(out, place->file);
    out = put_little_endian(out, place->byte_offset, 8);
    out = put_little_endian(out, number, 2);
    return PyByteArray_Resize(rows, before + (out - begin));
}

PyDoc_STRVAR(add_statements_doc,
"add_statements(rows, statements, first, end, file, byte_offset, verbs) -> int\n\n"
"Append the statements of a line from `first` to before `end` to a bytearray, as rows of the staging table in RowBinary,\n"
"and their verbs to a list; how many were of another time. See warehouse/load.py.");

static PyObject *add_statements(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 7 || !PyByteArray_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1])
        || !PyBytes_CheckExact(arguments[4]) || !PyList_CheckExact(arguments[6])) {
        PyErr_SetString(PyExc_TypeError, "add_statements takes a bytearray, a list, two ints, bytes, an int, and a list");
        return NULL;
    }
    PyObject *rows = arguments[0], *statements = arguments[1], *verbs = arguments[6];
    const long long first = PyLong_AsLongLong(arguments[2]);
    const long long end = PyLong_AsLongLong(arguments[3]);
    const Place place = {stretch_of(arguments[4]), PyLong_AsUnsignedLongLong(arguments[5])};
    if (PyErr_Occurred()) {
        return NULL;
    }
    const Py_ssize_t before = PyByteArray_GET_SIZE(rows), verbs_before = PyList_GET_SIZE(verbs);
    Py_ssize_t outside = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(statements); i++) {
        PyObject *one = PyList_GET_ITEM(statements, i);
        if (!PyTuple_Check(one) || PyTuple_GET_SIZE(one) != 4 || !PyBytes_CheckExact(PyTuple_GET_ITEM(one, 0))
            || PyBytes_GET_SIZE(PyTuple_GET_ITEM(one, 0)) != 16 || !PyBytes_CheckExact(PyTuple_GET_ITEM(one, 2))) {
            PyErr_SetString(PyExc_TypeError, "a statement is 16 bytes, an int, bytes, and its verb");
            goto failed;
        }
        const long long micros = PyLong_AsLongLong(PyTuple_GET_ITEM(one, 1));
        if (micros == -1 && PyErr_Occurred()) {
            goto failed;
        }
        if (micros < first || micros >= end) {
            outside++;
            continue;
        }
        if (i > 0xffff) {
            PyErr_SetString(PyExc_OverflowError, "a statement's number has 16 bits");
            goto failed;
        }
        if (append_row(rows, (Bytes)PyBytes_AS_STRING(PyTuple_GET_ITEM(one, 0)), micros, PyTuple_GET_ITEM(one, 2), &place,
                       (uint64_t)i) < 0
            || PyList_Append(verbs, PyTuple_GET_ITEM(one, 3)) < 0) {
            goto failed;
        }
    }
    return PyLong_FromSsize_t(outside);
failed:
    /* Of a line all statements go in, or none. Both grew here, and what shrinks cannot fail. */
    if (PyByteArray_GET_SIZE(rows) > before || PyList_GET_SIZE(verbs) > verbs_before) {
        PyObject *type, *value, *trace;
        PyErr_Fetch(&type, &value, &trace);
        if (PyByteArray_Resize(rows, before) < 0
            || PyList_SetSlice(verbs, verbs_before, PyList_GET_SIZE(verbs), NULL) < 0) {
            PyErr_Clear();
        }
        PyErr_Restore(type, value, trace);
    }
    return NULL;
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_VARARGS, scan_doc},
    {"may_be_in", (PyCFunction)(void (*)(void))may_be_in, METH_FASTCALL, may_be_in_doc},
    {"newlines", newlines, METH_O, newlines_doc},
    {"openings", openings, METH_O, openings_doc},
    {"use_sha_instructions", use_sha_instructions, METH_O, use_sha_instructions_doc},
    {"usual_event", (PyCFunction)(void (*)(void))usual_event, METH_FASTCALL, usual_event_doc},
    {"canonical_micros", canonical_micros, METH_O, canonical_micros_doc},
    {"statement_id", (PyCFunction)(void (*)(void))statement_id, METH_FASTCALL, statement_id_doc},
    {"usual_statement", (PyCFunction)(void (*)(void))usual_statement, METH_FASTCALL, usual_statement_doc},
    {"assembled", (PyCFunction)(void (*)(void))assembled, METH_FASTCALL, assembled_doc},
    {"add_statements", (PyCFunction)(void (*)(void))add_statements, METH_FASTCALL, add_statements_doc},
    {"found", (PyCFunction)(void (*)(void))found, METH_FASTCALL, found_doc},
    {"absent", (PyCFunction)(void (*)(void))absent, METH_FASTCALL, absent_doc},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    static const struct { PyObject **key; const char *text; } keys[] = {
        {&key_event, "event"},         {&key_data, "data"},
        {&key_name, "name"},           {&key_timestamp, "timestamp"},
        {&key_time, "time"},           {&key_context, "context"},
        {&key_course_id, "course_id"}, {&key_session, "session"},
        {&key_user_id, "user_id"},     {&key_username, "username"},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        PyObject *key = PyUnicode_InternFromString(keys[i].text);
        if (key == NULL) {
            return -1;
        }
        *keys[i].key = key;
    }
    Py_XDECREF(use_sha_instructions(module, Py_True));
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "aspects_orchestration._native",
    .m_doc = "What is done once a line or once a statement, in C.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
