/* Rows of the staging table, as RowBinary: the twin is in warehouse/load.py. */

#include "native.h"

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

PyMethodDef methods_of_rows[] = {
    {"add_statements", FAST(add_statements), add_statements_doc},
    {NULL, NULL, 0, NULL},
};
