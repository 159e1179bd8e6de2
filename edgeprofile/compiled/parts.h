/* What the compiled parts have in common: edgeprofile/speedups.py says what they are for.

   What they learn from Python is kept once per process, so only the first copy of the package to import them gets them. */

#ifndef EDGEPROFILE_PARTS_H
#define EDGEPROFILE_PARTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "entries are read and marked under the interpreter's lock"
#endif

/* Each adds its functions and classes to the module; -1 with an error set if it cannot. */
int add_hits(PyObject *module);
int add_freezing(PyObject *module);
int add_encoding(PyObject *module);
int add_frames(PyObject *module);

#endif
