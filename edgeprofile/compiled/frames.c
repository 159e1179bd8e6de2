/* What is done with every event of a feed: edgeprofile/store/frames.py and edgeprofile/core/held.py do it in Python.

   cut() goes by the lengths that stand in the bytes, and takes an event only if it is one to its last byte; held()
   finds the few keys of many that are cached. Neither knows what an event means. */

#include "parts.h"
#include <string.h>

static const char beginning[] = "*4\r\n$8\r\npmessage\r\n";

enum { BEGINNING = sizeof beginning - 1, END = 2, MOST_DIGITS = 9 };

/* Bytes that somebody else keeps. */
typedef struct {
    const char *start;
    Py_ssize_t size;
} Text;

static inline Text
text_of(PyObject *bytes)
{
    return (Text){PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)};
}

static inline int
begins_with(Text text, Text prefix)
{
    return text.size >= prefix.size && memcmp(text.start, prefix.start, (size_t)prefix.size) == 0;
}

static inline PyObject *
bytes_of(Text text)
{
    return PyBytes_FromStringAndSize(text.start, text.size);
}

static inline Text
without(Text text, Py_ssize_t size)
{
    return (Text){text.start + size, text.size - size};
}

/* Where a length and a text of that length end; NULL if they are not whole, or are no such. */
static inline const char *
after_text(const char *at, const char *end, Text *text)
{
    if (at == end || *at++ != '$')
        return NULL;
    const char *digits = at;
    Py_ssize_t size = 0;
    for (; at < end && *at >= '0' && *at <= '9' && at - digits < MOST_DIGITS; at++)
        size = 10 * size + (*at - '0');
    if (at == digits || (*digits == '0' && at - digits > 1))
        return NULL;
    if (end - at < END || memcmp(at, "\r\n", END) != 0)
        return NULL;
    at += END;
    if (end - at < size + END || memcmp(at + size, "\r\n", END) != 0)
        return NULL;
    *text = (Text){at, size};
    return at + size + END;
}

/* Where an event ends; NULL if there is no whole one. */
static inline const char *
after_event(const char *at, const char *end, Text *pattern, Text *channel)
{
    Text name;
    if (end - at < BEGINNING || memcmp(at, beginning, BEGINNING) != 0)
        return NULL;
    if ((at = after_text(at + BEGINNING, end, pattern)) == NULL || (at = after_text(at, end, channel)) == NULL)
        return NULL;
    return after_text(at, end, &name);
}

/* A subscribed pattern, and what its channels begin with. Both belong to the caller's tuple. */
typedef struct {
    PyObject *pattern, *prefix;
} Kind;

static inline int
is_of(Kind kind, Text pattern, Text channel)
{
    Text own = text_of(kind.pattern);
    return pattern.size == own.size && begins_with(pattern, own) && begins_with(channel, text_of(kind.prefix));
}

static int
find_kind(PyObject *channels, Text pattern, Text channel, Kind *kind)
{
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(channels); index++) {
        PyObject *pair = PyTuple_GET_ITEM(channels, index);
        *kind = (Kind){PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)};
        if (is_of(*kind, pattern, channel))
            return 1;
    }
    return 0;
}

static int
are_channels(PyObject *channels)
{
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(channels); index++) {
        PyObject *pair = PyTuple_GET_ITEM(channels, index);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(pair, 0))
            || !PyBytes_Check(PyTuple_GET_ITEM(pair, 1))) {
            PyErr_SetString(PyExc_TypeError, "channels are pairs of bytes");
            return 0;
        }
    }
    return 1;
}

static int
append_new(PyObject *list, PyObject *made)
{
    int failed = made == NULL ? -1 : PyList_Append(list, made);
    Py_XDECREF(made);
    return failed;
}

/* Begin a run of one pattern: its keys, a new reference. */
static PyObject *
new_run(PyObject *changes, PyObject *pattern)
{
    PyObject *keys = PyList_New(0);
    if (keys != NULL && append_new(changes, PyTuple_Pack(2, pattern, keys)) < 0)
        Py_CLEAR(keys);
    return keys;
}

/* Append runs of events to the changes; where the rest begins, or NULL with an error set. */
static const char *
take_events(const char *at, const char *end, PyObject *channels, PyObject *changes)
{
    Kind kind = {NULL, NULL};
    Text pattern, channel;
    PyObject *keys = NULL;
    for (const char *next; (next = after_event(at, end, &pattern, &channel)) != NULL; at = next) {
        if (kind.pattern == NULL || !is_of(kind, pattern, channel)) {
            if (!find_kind(channels, pattern, channel, &kind))
                break;
            Py_XSETREF(keys, new_run(changes, kind.pattern));
            if (keys == NULL)
                return NULL;
        }
        if (append_new(keys, bytes_of(without(channel, PyBytes_GET_SIZE(kind.prefix)))) < 0) {
            at = NULL;
            break;
        }
    }
    Py_XDECREF(keys);
    return at;
}

static PyObject *
cut(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    PyObject *channels, *changes = NULL;
    if (!PyArg_ParseTuple(args, "y*O!", &data, &PyTuple_Type, &channels))
        return NULL;
    const char *start = data.len > 0 ? data.buf : "", *rest = NULL; /* no bytes may be nowhere */
    if (are_channels(channels) && (changes = PyList_New(0)) != NULL)
        rest = take_events(start, start + data.len, channels, changes);
    PyBuffer_Release(&data);
    if (rest == NULL) {
        Py_XDECREF(changes);
        return NULL;
    }
    return Py_BuildValue("Nn", changes, (Py_ssize_t)(rest - start));
}

/* Whether a key begins so and ends as a name in a dict; -1 with an error set. */
static int
is_held(PyObject *key, Text prefix, PyObject *entries)
{
    if (!PyBytes_Check(key)) {
        PyErr_Format(PyExc_TypeError, "keys are bytes, not %s", Py_TYPE(key)->tp_name);
        return -1;
    }
    if (!begins_with(text_of(key), prefix))
        return 0;
    Text end = without(text_of(key), prefix.size);
    PyObject *name = PyUnicode_DecodeUTF8(end.start, end.size, "surrogateescape");
    int found = name == NULL ? -1 : PyDict_Contains(entries, name);
    Py_XDECREF(name);
    return found;
}

static int
append_held(PyObject *found, PyObject *keys, PyObject *prefix, PyObject *entries)
{
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(keys); index++) {
        PyObject *key = Py_NewRef(PyList_GET_ITEM(keys, index));
        int failed = is_held(key, text_of(prefix), entries);
        if (failed > 0)
            failed = PyList_Append(found, key);
        Py_DECREF(key);
        if (failed < 0)
            return -1;
    }
    return 0;
}

static PyObject *
held(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *keys, *spaces, *prefix, *entries;
    if (!PyArg_ParseTuple(args, "O!O!", &PyList_Type, &keys, &PyTuple_Type, &spaces))
        return NULL;
    PyObject *found = PyList_New(0);
    for (Py_ssize_t index = 0; found != NULL && index < PyTuple_GET_SIZE(spaces); index++) {
        PyObject *space = PyTuple_GET_ITEM(spaces, index);
        if (!PyTuple_Check(space))
            PyErr_SetString(PyExc_TypeError, "spaces are pairs of a prefix and a dict");
        else if (PyArg_ParseTuple(space, "SO!", &prefix, &PyDict_Type, &entries)
                 && append_held(found, keys, prefix, entries) == 0)
            continue;
        Py_CLEAR(found);
    }
    return found;
}

static PyMethodDef functions[] = {
    {"cut", cut, METH_VARARGS,
     "cut(data, channels): the keys of whole events at the front, in runs of one pattern, and where the rest begins."},
    {"held", held, METH_VARARGS,
     "held(keys, spaces): the keys that begin with a space's prefix and end as a name in its dict, space by space."},
    {NULL, NULL, 0, NULL},
};

int
add_frames(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
