/* The hit path: edgeprofile/hits.py is what it stands before.

   A shortcut answers the plain hit and nothing else. Whatever is not plain, and whatever goes wrong, is left to the
   Python function that it stands before, so that every rule has one home. Entries are read in the order that their
   class asks for: the deadline, the data, the lease. All of this needs the interpreter's lock. */

#include "parts.h"
#include <structmember.h>

/* The clock of time.monotonic, which entries and leases are on. */
static double
monotonic(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t now;
    return PyTime_MonotonicRaw(&now) < 0 ? Py_HUGE_VAL : (double)now / 1e9;
#else
    return (double)_PyTime_GetMonotonicClock() / 1e9;
#endif
}

/* Where the fields of entries and leases lie; told by learn(). */
typedef struct {
    PyTypeObject *entry, *lease;
    Py_ssize_t ready_until, expires, data, leased, used, until;
} Layout;

static Layout layout;

#if PY_VERSION_HEX >= 0x030D0000
PyAPI_FUNC(PyObject *) _PyDict_NewPresized(Py_ssize_t minused); /* as Cython calls it: growing costs a fifth of a batch */
#endif

#define FIELD(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static int
offset_of(PyTypeObject *type, const char *name, Py_ssize_t *offset)
{
    int is_class = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE); /* others have no tp_dict of their own from 3.12 on */
    PyObject *key = PyUnicode_FromString(name);
    PyObject *member = is_class && key != NULL ? PyDict_GetItemWithError(type->tp_dict, key) : NULL;
    Py_XDECREF(key);
    if (PyErr_Occurred())
        return -1;
    if (member == NULL || !Py_IS_TYPE(member, &PyMemberDescr_Type)
        || ((PyMemberDescrObject *)member)->d_member->type != T_OBJECT_EX) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
        return -1;
    }
    *offset = ((PyMemberDescrObject *)member)->d_member->offset;
    return 0;
}

static PyObject *
learn(PyObject *Py_UNUSED(module), PyObject *args)
{
    Layout old = layout, told;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &told.entry, &PyType_Type, &told.lease)
        || offset_of(told.entry, "ready_until", &told.ready_until) < 0
        || offset_of(told.entry, "expires", &told.expires) < 0
        || offset_of(told.entry, "data", &told.data) < 0
        || offset_of(told.entry, "lease", &told.leased) < 0
        || offset_of(told.entry, "used", &told.used) < 0
        || offset_of(told.lease, "until", &told.until) < 0)
        return NULL;
    Py_INCREF(told.entry);
    Py_INCREF(told.lease);
    layout = told;
    Py_XDECREF(old.entry);
    Py_XDECREF(old.lease);
    Py_RETURN_NONE;
}

static inline int
is_before(double now, PyObject *end)
{
    return end != NULL && PyFloat_CheckExact(end) && now < PyFloat_AS_DOUBLE(end);
}

/* What an entry serves at a moment, a new reference; NULL, without an error, if it serves nothing. */
static inline PyObject *
served(PyObject *entry, double now, Py_ssize_t deadline)
{
    if (!Py_IS_TYPE(entry, layout.entry) || !is_before(now, FIELD(entry, deadline)))
        return NULL;
    PyObject *data = FIELD(entry, layout.data), *lease = FIELD(entry, layout.leased);
    if (data == NULL || lease == NULL || !Py_IS_TYPE(lease, layout.lease)
        || !is_before(now, FIELD(lease, layout.until)))
        return NULL;
    Py_INCREF(data);
    if (FIELD(entry, layout.used) != Py_True)
        Py_XSETREF(FIELD(entry, layout.used), Py_NewRef(Py_True));
    return data;
}

/* The value of a key in a dict, a new reference. NULL if there is none, without an error where Python's lookups take
   the error for a miss: a key's own code may raise, or be interrupted by, anything else. */
static inline PyObject *
item(PyObject *dict, PyObject *key)
{
    PyObject *found = PyDict_GetItemWithError(dict, key);
    if (found == NULL && PyErr_Occurred()
        && (PyErr_ExceptionMatches(PyExc_KeyError) || PyErr_ExceptionMatches(PyExc_TypeError)))
        PyErr_Clear();
    return Py_XNewRef(found);
}

/* Of many values: what is served of them in a dict, the others in a list. */
static PyObject *
pick(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *entries, *values;
    int encoded;
    if (!PyArg_ParseTuple(args, "O!Op", &PyDict_Type, &entries, &values, &encoded))
        return NULL;
    PyObject *found = NULL, *missing = NULL, *row = PySequence_Fast(values, "values are no iterable");
    if (row == NULL)
        return NULL;
    found = _PyDict_NewPresized(PySequence_Fast_GET_SIZE(row));
    missing = PyList_New(0);
    if (found == NULL || missing == NULL)
        goto failed;
    Py_ssize_t deadline = encoded ? layout.expires : layout.ready_until;
    double now = monotonic();
    for (Py_ssize_t index = 0; index < PySequence_Fast_GET_SIZE(row); index++) {
        PyObject *value = Py_NewRef(PySequence_Fast_GET_ITEM(row, index)), *entry = item(entries, value);
        PyObject *data = entry == NULL ? NULL : served(entry, now, deadline);
        int failed = data != NULL ? PyDict_SetItem(found, value, data)
                     : entry == NULL && PyErr_Occurred() ? -1 : PyList_Append(missing, value);
        Py_DECREF(value);
        Py_XDECREF(entry);
        Py_XDECREF(data);
        if (failed < 0)
            goto failed;
    }
    Py_DECREF(row);
    return Py_BuildValue("NN", found, missing);
failed:
    Py_DECREF(row);
    Py_XDECREF(found);
    Py_XDECREF(missing);
    return NULL;
}

/* Shelf: the entries that shortcuts read, and how many hits they found there. It holds no function, so that who keeps
   it in order to replace the entries keeps no client alive.

   Neither it nor a shortcut has a tp_clear, so that both work for as long as they can be reached: like a tuple, they
   are part of no cycle without a dict or a function, which the collector clears. */

typedef struct {
    PyObject_HEAD
    PyObject *entries;
    unsigned long long hits;
} Shelf;

static PyTypeObject *shelf_type;

static PyObject *
shelf_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *entries;
    if (!PyArg_ParseTuple(args, "O!", &PyDict_Type, &entries))
        return NULL;
    Shelf *self = (Shelf *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->entries = Py_NewRef(entries);
    return (PyObject *)self;
}

static int
shelf_traverse(Shelf *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->entries);
    return 0;
}

static void
shelf_dealloc(Shelf *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(self->entries);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
shelf_rebind(Shelf *self, PyObject *entries)
{
    if (!PyDict_Check(entries))
        return PyErr_Format(PyExc_TypeError, "entries are a dict, not %s", Py_TYPE(entries)->tp_name);
    Py_XSETREF(self->entries, Py_NewRef(entries));
    self->hits = 0;
    Py_RETURN_NONE;
}

static PyObject *
shelf_count(Shelf *self, PyObject *Py_UNUSED(nothing))
{
    return PyLong_FromUnsignedLongLong(self->hits);
}

static PyMethodDef shelf_methods[] = {
    {"rebind", (PyCFunction)shelf_rebind, METH_O, "Replace the entries, and count anew."},
    {"count", (PyCFunction)shelf_count, METH_NOARGS, "Hits since the entries were replaced."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot shelf_slots[] = {
    {Py_tp_doc, "Shelf(entries): what shortcuts read, and a count of their hits."},
    {Py_tp_new, shelf_new},
    {Py_tp_dealloc, shelf_dealloc},
    {Py_tp_traverse, shelf_traverse},
    {Py_tp_methods, shelf_methods},
    {0, NULL},
};

static PyType_Spec shelf_spec = {
    "edgeprofile._speedups.Shelf", sizeof(Shelf), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, shelf_slots,
};

/* Shortcut: a function, and the plain hits that need not come to it. */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *function, *attributes, *weak;
    Shelf *shelf;
    Py_ssize_t depth;
} Shortcut;

static PyTypeObject *shortcut_type;
static PyObject *model_name, *timeout_name;

enum { BOUND = 1, DESTINATION = 3, MODEL = 4, TYPE = 5, MOST = 7 };

/* Whether the arguments behind (entity, id_type, value) leave a plain hit: only a model and a timeout may be named. */
static inline int
are_plain(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **model)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count > DESTINATION) {
        if (named > 0 || count > MOST || args[DESTINATION] != Py_None || (count > TYPE && args[TYPE] != Py_None))
            return 0;
        if (count > MODEL)
            *model = args[MODEL];
    }
    for (Py_ssize_t index = 0; index < named; index++) {
        PyObject *name = PyTuple_GET_ITEM(names, index);
        if (name == model_name)
            *model = args[count + index];
        else if (name != timeout_name)
            return 0;
    }
    return 1;
}

/* lookup(value), or get(entity, id_type, value, ...). */
static PyObject *
shortcut_call(PyObject *callable, PyObject *const *args, size_t flags, PyObject *names)
{
    Shortcut *self = (Shortcut *)callable;
    Py_ssize_t depth = self->depth, count = PyVectorcall_NARGS(flags);
    PyObject *model = Py_None;
    if (count < depth)
        goto function;
    if ((count > depth || names != NULL) && (depth == BOUND || !are_plain(args, count, names, &model)))
        goto function;
    PyObject *found = Py_NewRef(self->shelf->entries);
    for (Py_ssize_t level = 0; level < depth && found != NULL; level++)
        Py_SETREF(found, PyDict_CheckExact(found) ? item(found, args[level]) : NULL);
    if (found == NULL) {
        if (PyErr_Occurred())
            return NULL;
        goto function;
    }
    PyObject *data = served(found, monotonic(), layout.ready_until);
    Py_DECREF(found);
    if (data == NULL)
        goto function;
    if (model != Py_None && data != Py_None) {
        if (!PyUnicode_CheckExact(model) || !PyDict_Check(data)) {
            Py_DECREF(data);
            goto function;
        }
        PyObject *part = item(data, model);
        Py_SETREF(data, part == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : part);
    }
    self->shelf->hits++;
    return data;
function:
    return PyObject_Vectorcall(self->function, args, flags, names);
}

static PyObject *
shortcut_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *function;
    Shelf *shelf;
    Py_ssize_t depth;
    if (!PyArg_ParseTuple(args, "OO!n", &function, shelf_type, &shelf, &depth))
        return NULL;
    if (depth != BOUND && depth != DESTINATION) {
        PyErr_SetString(PyExc_ValueError, "depth is 1, a dict of entries, or 3, a tree of them");
        return NULL;
    }
    if (layout.entry == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "what an entry looks like was not told: learn(Entry, Lease)");
        return NULL;
    }
    Shortcut *self = (Shortcut *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = shortcut_call;
    self->function = Py_NewRef(function);
    self->shelf = (Shelf *)Py_NewRef(shelf);
    self->depth = depth;
    return (PyObject *)self;
}

static int
shortcut_traverse(Shortcut *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    Py_VISIT(self->attributes);
    Py_VISIT(self->shelf);
    return 0;
}

static void
shortcut_dealloc(Shortcut *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak != NULL)
        PyObject_ClearWeakRefs((PyObject *)self);
    Py_DECREF(self->function);
    Py_XDECREF(self->attributes);
    Py_DECREF(self->shelf);
    type->tp_free(self);
    Py_DECREF(type);
}

/* As functions do: what is found in a class is bound, and copies and pickles are the same function, by its name. */

static PyObject *
shortcut_bind(PyObject *self, PyObject *owner, PyObject *Py_UNUSED(type))
{
    return owner == NULL || owner == Py_None ? Py_NewRef(self) : PyMethod_New(self, owner);
}

static PyObject *
shortcut_reduce(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyMethodDef shortcut_methods[] = {
    {"__reduce__", shortcut_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef shortcut_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Shortcut, call), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Shortcut, attributes), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Shortcut, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef shortcut_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot shortcut_slots[] = {
    {Py_tp_doc, "Shortcut(function, shelf, depth): the function, whose plain hits are answered from the shelf."},
    {Py_tp_new, shortcut_new},
    {Py_tp_dealloc, shortcut_dealloc},
    {Py_tp_traverse, shortcut_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, shortcut_bind},
    {Py_tp_methods, shortcut_methods},
    {Py_tp_members, shortcut_members},
    {Py_tp_getset, shortcut_getset},
    {0, NULL},
};

static PyType_Spec shortcut_spec = {
    "edgeprofile._speedups.Shortcut", sizeof(Shortcut), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
        | Py_TPFLAGS_IMMUTABLETYPE,
    shortcut_slots,
};

static PyMethodDef functions[] = {
    {"learn", learn, METH_VARARGS, "learn(Entry, Lease): where their fields lie. Raises TypeError if they are no slots."},
    {"pick", pick, METH_VARARGS,
     "pick(entries, values, encoded): what is served, by value, and the values of which nothing is."},
    {NULL, NULL, 0, NULL},
};

int
add_hits(PyObject *module)
{
    if ((model_name = PyUnicode_InternFromString("model")) == NULL
        || (timeout_name = PyUnicode_InternFromString("timeout")) == NULL
        || (shelf_type = (PyTypeObject *)PyType_FromSpec(&shelf_spec)) == NULL
        || (shortcut_type = (PyTypeObject *)PyType_FromSpec(&shortcut_spec)) == NULL
        || PyModule_AddType(module, shelf_type) < 0 || PyModule_AddType(module, shortcut_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
