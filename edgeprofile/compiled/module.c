/* The extension module edgeprofile._speedups. */

#include "parts.h"

static int is_taken;

static int
execute(PyObject *module)
{
    const char *unwanted = getenv("EDGEPROFILE_NO_EXTENSIONS");
    if (unwanted != NULL && *unwanted != '\0') {
        PyErr_SetString(PyExc_ImportError, "EDGEPROFILE_NO_EXTENSIONS is set");
        return -1;
    }
    if (is_taken) {
        PyErr_SetString(PyExc_ImportError, "another interpreter, or another copy of the package, has it already");
        return -1;
    }
    is_taken = 1;
    if (add_hits(module) < 0 || add_freezing(module) < 0 || add_encoding(module) < 0 || add_frames(module) < 0) {
        is_taken = 0;
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "edgeprofile._speedups", "Compiled parts of EdgeProfile.", 0, NULL, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&module);
}
