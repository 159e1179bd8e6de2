/* The freezing of decoded profiles: edgeprofile/profile.py does the same in Python.

   Decoded members become a read-only dict, whose names all profiles share and which the collector, like all that hangs
   on it, need not walk. */

#include "parts.h"

static PyTypeObject *traits_type, *items_type;

static PyObject *frozen(PyObject *value);

static int
fill(PyObject *traits, PyObject *members)
{
    PyObject *name, *value;
    for (Py_ssize_t position = 0; PyDict_Next(members, &position, &name, &value);) {
        Py_INCREF(name);
#if PY_VERSION_HEX < 0x030C0000 || PY_VERSION_HEX >= 0x030D0000 /* 3.12 would keep it for ever */
        PyUnicode_InternInPlace(&name);
#endif
        PyObject *made = frozen(value);
        int failed = made == NULL ? -1 : PyDict_SetItem(traits, name, made);
        Py_XDECREF(made);
        Py_DECREF(name);
        if (failed < 0)
            return -1;
    }
    PyObject_GC_UnTrack(traits);
    return 0;
}

static PyObject *
empty(PyTypeObject *type, PyTypeObject *base)
{
    PyObject *nothing = PyTuple_New(0);
    PyObject *made = nothing == NULL ? NULL : base->tp_new(type, nothing, NULL);
    Py_XDECREF(nothing);
    return made;
}

static PyObject *
frozen_dict(PyObject *members)
{
    PyObject *traits = empty(traits_type, &PyDict_Type);
    if (traits != NULL && fill(traits, members) < 0)
        Py_CLEAR(traits);
    return traits;
}

static PyObject *
frozen_list(PyObject *values)
{
    PyObject *items = empty(items_type, &PyList_Type);
    if (items == NULL)
        return NULL;
    PyObject *extended = PyList_Type.tp_as_sequence->sq_inplace_concat(items, values);  /* allocates no more than needed */
    if (extended == NULL)
        goto failed;
    Py_DECREF(extended);
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(items); index++) {
        PyObject *made = frozen(PyList_GET_ITEM(items, index));
        if (made == NULL || PyList_SetItem(items, index, made) < 0)
            goto failed;
    }
    PyObject_GC_UnTrack(items);
    return items;
failed:
    Py_DECREF(items);
    return NULL;
}

static PyObject *
frozen(PyObject *value)
{
    int is_dict = PyDict_CheckExact(value);
    if (!is_dict && !PyList_CheckExact(value))
        return Py_NewRef(value);
    if (Py_EnterRecursiveCall(" while a profile was decoded"))
        return NULL;
    Py_INCREF(value); /* the collector may run, and call whom it tells, who may take the value from its container */
    PyObject *made = is_dict ? frozen_dict(value) : frozen_list(value);
    Py_DECREF(value);
    Py_LeaveRecursiveCall();
    return made;
}

static PyObject *
freeze_into(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || traits_type == NULL || !PyDict_Check(args[0]) || !PyDict_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "freeze_into(empty, members) after freeze_as(traits, items)");
        return NULL;
    }
    if (fill(args[0], args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
freeze_as(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyTypeObject *traits, *items;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &traits, &PyType_Type, &items))
        return NULL;
    if (!PyType_IsSubtype(traits, &PyDict_Type) || !PyType_IsSubtype(items, &PyList_Type)) {
        PyErr_SetString(PyExc_TypeError, "freeze_as takes a kind of dict and a kind of list");
        return NULL;
    }
    Py_XSETREF(traits_type, (PyTypeObject *)Py_NewRef(traits));
    Py_XSETREF(items_type, (PyTypeObject *)Py_NewRef(items));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"freeze_as", freeze_as, METH_VARARGS, "freeze_as(traits, items): the kinds of dict and list that are read-only."},
    {"freeze_into", (PyCFunction)(void (*)(void))freeze_into, METH_FASTCALL,
     "freeze_into(empty, members): fill a read-only dict with members, frozen at every depth."},
    {NULL, NULL, 0, NULL},
};

int
add_freezing(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
