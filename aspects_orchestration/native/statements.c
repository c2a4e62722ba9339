/* Statements out of their pieces: twins in xapi/built.py and xapi/fast/builders/statements.py. */

#include "native.h"

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

PyMethodDef methods_of_statements[] = {
    {"usual_statement", FAST(usual_statement), usual_statement_doc},
    {"assembled", FAST(assembled), assembled_doc},
    {NULL, NULL, 0, NULL},
};
