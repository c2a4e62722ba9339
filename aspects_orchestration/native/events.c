/* Usual events, their times, and the search for a name in one: twins in tracking/events.py and xapi/fast/builders/common.py. */

#include "native.h"

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
int64_t canonical(PyObject *text)
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
PyObject *found_or_none(PyObject *event, PyObject *name)
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

PyMethodDef methods_of_events[] = {
    {"usual_event", FAST(usual_event), usual_event_doc},
    {"canonical_micros", canonical_micros, METH_O, canonical_micros_doc},
    {"openings", openings, METH_O, openings_doc},
    {"found", FAST(found), found_doc},
    {"absent", FAST(absent), absent_doc},
    {NULL, NULL, 0, NULL},
};
