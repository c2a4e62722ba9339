/* The module aspects_orchestration._native. */

#include "native.h"

PyObject *key_event, *key_data, *key_name, *key_timestamp, *key_time;
PyObject *key_context, *key_course_id, *key_session, *key_user_id, *key_username;

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
    choose_sha(1);
    PyMethodDef *const tables[] = {methods_of_lines, methods_of_events, methods_of_ids, methods_of_statements, methods_of_rows};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (PyModule_AddFunctions(module, tables[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "aspects_orchestration._native",
    .m_doc = "What is done once a line or once a statement, in C.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
