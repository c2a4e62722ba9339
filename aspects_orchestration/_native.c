/* What is done once a line or once a statement, in C: each function here has a twin in Python that gives the same.
 *
 * The twins are what runs where there was no compiler at installation, and what the tests hold these against:
 * tracking/lines.py (scan), tracking/names.py (may_be_in), tracking/chunks.py (newlines), tracking/events.py
 * (canonical_micros, openings), xapi/statement_id.py (statement_id), warehouse/load.py (add_row).
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
    while (at < end && (at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        if (end - at >= 6 && memcmp(at, "\\u00", 4) == 0 && at[4] >= '2' && at[4] <= '7') {
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

PyDoc_STRVAR(openings_doc, "openings(text) -> int\n\nHow many brackets that open an object or a list there are.");

static PyObject *openings(PyObject *module, PyObject *text)
{
    if (!PyBytes_CheckExact(text)) {
        PyErr_SetString(PyExc_TypeError, "openings takes bytes");
        return NULL;
    }
    Bytes at = (Bytes)PyBytes_AS_STRING(text);
    Bytes end = at + PyBytes_GET_SIZE(text);
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
    return PyLong_FromSsize_t(found);
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

PyDoc_STRVAR(canonical_micros_doc,
"canonical_micros(text) -> int | None\n\n"
"Microseconds from 1970-01-01 UTC to a time written as YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00; None for any other text,\n"
"and for a time before 1970 or after 2105.");

static PyObject *canonical_micros(PyObject *module, PyObject *text)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        Py_RETURN_NONE;
    }
    const unsigned char *at = PyUnicode_1BYTE_DATA(text);
    const Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    int year, month, day, hour, minute, second, micros = 0;
    if ((size != 25 && size != 32) || memcmp(at + size - 6, "+00:00", 6) != 0 || at[4] != '-' || at[7] != '-'
        || at[10] != 'T' || at[13] != ':' || at[16] != ':' || !number(at, 4, &year) || !number(at + 5, 2, &month)
        || !number(at + 8, 2, &day) || !number(at + 11, 2, &hour) || !number(at + 14, 2, &minute)
        || !number(at + 17, 2, &second) || (size == 32 && (at[19] != '.' || !number(at + 20, 6, &micros)))) {
        Py_RETURN_NONE;
    }
    if (year < 1970 || year > 2105 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
        Py_RETURN_NONE;
    }
    const int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && leap)) {
        Py_RETURN_NONE;
    }
    int64_t days = day - 1 + (month > 2 && leap);
    for (int i = 0; i < month - 1; i++) {
        days += lengths[i];
    }
    /* Leap days of the whole years before this one. */
    const int before = year - 1;
    days += (int64_t)(year - 1970) * 365 + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    return PyLong_FromLongLong((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + micros);
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

static void sha1_of_two(Bytes one, Py_ssize_t one_size, Bytes two, Py_ssize_t two_size, unsigned char digest[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[64];
    const uint64_t bits = ((uint64_t)one_size + (uint64_t)two_size) * 8;
    Py_ssize_t held = 0;
    for (int part = 0; part < 2; part++) {
        Bytes at = part ? two : one;
        Py_ssize_t left = part ? two_size : one_size;
        while (left > 0) {
            const Py_ssize_t taken = left < 64 - held ? left : 64 - held;
            memcpy(block + held, at, (size_t)taken);
            held += taken;
            at += taken;
            left -= taken;
            if (held == 64) {
                sha1_block(state, block);
                held = 0;
            }
        }
    }
    block[held++] = 0x80;
    if (held > 56) {
        memset(block + held, 0, (size_t)(64 - held));
        sha1_block(state, block);
        held = 0;
    }
    memset(block + held, 0, (size_t)(56 - held));
    for (int i = 0; i < 8; i++) {
        block[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    sha1_block(state, block);
    for (int i = 0; i < 20; i++) {
        digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

PyDoc_STRVAR(statement_id_doc,
"statement_id(namespace, name) -> (identity, text)\n\n"
"The UUID of version 5 of a name in a namespace: its 16 bytes in network order, and its text.");

static PyObject *statement_id(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    static const char hex[] = "0123456789abcdef";
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "statement_id takes two bytes");
        return NULL;
    }
    unsigned char digest[20];
    sha1_of_two((Bytes)PyBytes_AS_STRING(arguments[0]), PyBytes_GET_SIZE(arguments[0]),
                (Bytes)PyBytes_AS_STRING(arguments[1]), PyBytes_GET_SIZE(arguments[1]), digest);
    digest[6] = (digest[6] & 0x0f) | 0x50;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    PyObject *identity = PyBytes_FromStringAndSize((const char *)digest, 16);
    PyObject *text = PyBytes_FromStringAndSize(NULL, 36);
    if (identity == NULL || text == NULL) {
        Py_XDECREF(identity);
        Py_XDECREF(text);
        return NULL;
    }
    char *out = PyBytes_AS_STRING(text);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *out++ = '-';
        }
        *out++ = hex[digest[i] >> 4];
        *out++ = hex[digest[i] & 15];
    }
    return Py_BuildValue("(NN)", identity, text);
}

static unsigned char *put_little_endian(unsigned char *out, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) {
        *out++ = (unsigned char)(value >> (8 * i));
    }
    return out;
}

PyDoc_STRVAR(add_row_doc,
"add_row(rows, identity, emission_micros, event, file, byte_offset, number)\n\n"
"Append a row of the staging table to a bytearray, as RowBinary: see warehouse/load.py.");

static PyObject *add_row(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 7 || !PyByteArray_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])
        || PyBytes_GET_SIZE(arguments[1]) != 16 || !PyBytes_CheckExact(arguments[3]) || !PyBytes_CheckExact(arguments[4])) {
        PyErr_SetString(PyExc_TypeError, "add_row takes a bytearray, 16 bytes, an int, bytes, bytes, and two ints");
        return NULL;
    }
    const long long micros = PyLong_AsLongLong(arguments[2]);
    const unsigned long long offset = PyLong_AsUnsignedLongLong(arguments[5]);
    const unsigned long number_ = PyLong_AsUnsignedLong(arguments[6]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (number_ > 0xffff) {
        PyErr_SetString(PyExc_OverflowError, "a statement's number has 16 bits");
        return NULL;
    }
    const Py_ssize_t event_size = PyBytes_GET_SIZE(arguments[3]);
    const Py_ssize_t file_size = PyBytes_GET_SIZE(arguments[4]);
    const Py_ssize_t before = PyByteArray_GET_SIZE(arguments[0]);
    /* A length has at most ten bytes. */
    if (PyByteArray_Resize(arguments[0], before + 16 + 8 + 10 + event_size + file_size + 10) < 0) {
        return NULL;
    }
    unsigned char *begin = (unsigned char *)PyByteArray_AS_STRING(arguments[0]) + before;
    unsigned char *out = begin;
    Bytes identity = (Bytes)PyBytes_AS_STRING(arguments[1]);
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
    memcpy(out, PyBytes_AS_STRING(arguments[3]), (size_t)event_size);
    out += event_size;
    memcpy(out, PyBytes_AS_STRING(arguments[4]), (size_t)file_size);
    out += file_size;
    out = put_little_endian(out, offset, 8);
    out = put_little_endian(out, number_, 2);
    if (PyByteArray_Resize(arguments[0], before + (out - begin)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_VARARGS, scan_doc},
    {"may_be_in", (PyCFunction)(void (*)(void))may_be_in, METH_FASTCALL, may_be_in_doc},
    {"newlines", newlines, METH_O, newlines_doc},
    {"openings", openings, METH_O, openings_doc},
    {"canonical_micros", canonical_micros, METH_O, canonical_micros_doc},
    {"statement_id", (PyCFunction)(void (*)(void))statement_id, METH_FASTCALL, statement_id_doc},
    {"add_row", (PyCFunction)(void (*)(void))add_row, METH_FASTCALL, add_row_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

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
