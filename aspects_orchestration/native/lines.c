/* Finding lines, and telling from their bytes which are not wanted: twins in tracking/lines.py, names.py and chunks.py. */

#include "native.h"

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

PyMethodDef methods_of_lines[] = {
    {"scan", scan, METH_VARARGS, scan_doc},
    {"may_be_in", FAST(may_be_in), may_be_in_doc},
    {"newlines", newlines, METH_O, newlines_doc},
    {NULL, NULL, 0, NULL},
};
