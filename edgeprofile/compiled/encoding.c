/* The encoding of plain hashes: edgeprofile/profile.py has all rules, and encodes whatever is left to it.

   A hash is plain if its texts are JSON to the letter of RFC 8259, nest little, and stand under different names of ASCII
   with nothing to escape. No text is looked at beyond the NUL that CPython puts behind the bytes of each: no step goes
   over a byte before it has seen that it is another one. */

#include "parts.h"

typedef const unsigned char *Place;

enum { MOST_MODELS = 64, DEEPEST = 64 }; /* the Python takes more */

static inline int
is_between(unsigned char byte, unsigned char first, unsigned char last)
{
    return first <= byte && byte <= last;
}

/* What needs no second look within a string. */
static inline int
is_plain(unsigned char byte)
{
    return is_between(byte, 0x20, 0x7F) && byte != '"' && byte != '\\';
}

/* The functions below are told where something begins, and say where it ends; NULL if it is none. */

static inline Place
after_space(Place at)
{
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

static Place
after_escape(Place at)
{
    if (at[1] != 'u')
        return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL ? at + 2 : NULL;
    at += 2;
    for (int digit = 0; digit < 4; digit++, at++)
        if (!is_between(*at, '0', '9') && !is_between(*at | 0x20, 'a', 'f'))
            return NULL;
    return at;
}

/* One character of several bytes, as strict as Python: no surrogates, nothing overlong. */
static Place
after_character(Place at)
{
    unsigned char lead = *at, first = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char last = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    int more = is_between(lead, 0xC2, 0xDF) ? 1 : is_between(lead, 0xE0, 0xEF) ? 2 : is_between(lead, 0xF0, 0xF4) ? 3 : 0;
    if (more == 0 || !is_between(*++at, first, last))
        return NULL;
    while (--more > 0)
        if (!is_between(*++at, 0x80, 0xBF))
            return NULL;
    return at + 1;
}

static Place
after_string(Place at)
{
    if (*at++ != '"')
        return NULL;
    while (at != NULL) {
        while (is_plain(*at))
            at++;
        if (*at == '"')
            return at + 1;
        at = *at == '\\' ? after_escape(at) : after_character(at);
    }
    return NULL;
}

static inline Place
after_digits(Place at)
{
    Place begin = at;
    while (is_between(*at, '0', '9'))
        at++;
    return at == begin ? NULL : at;
}

static Place
after_number(Place at)
{
    if (*at == '-')
        at++;
    at = *at == '0' ? at + 1 : after_digits(at);
    if (at != NULL && *at == '.')
        at = after_digits(at + 1);
    if (at != NULL && (*at | 0x20) == 'e') {
        at++;
        at = after_digits(*at == '+' || *at == '-' ? at + 1 : at);
    }
    return at;
}

static inline Place
after_word(Place at, const char *word)
{
    size_t size = strlen(word);
    return strncmp((const char *)at, word, size) == 0 ? at + size : NULL;
}

/* The name of a member, with the colon and the space behind it. */
static Place
after_name(Place at)
{
    at = after_string(at);
    if (at == NULL)
        return NULL;
    at = after_space(at);
    return *at == ':' ? after_space(at + 1) : NULL;
}

static Place after_value(Place at, int levels);

static Place
after_container(Place at, int levels)
{
    unsigned char is_object = *at == '{', end = is_object ? '}' : ']';
    at = after_space(at + 1);
    if (*at == end)
        return at + 1;
    for (;; at = after_space(at + 1)) {
        if (is_object && (at = after_name(at)) == NULL)
            return NULL;
        at = after_value(at, levels);
        if (at == NULL)
            return NULL;
        at = after_space(at);
        if (*at != ',')
            return *at == end ? at + 1 : NULL;
    }
}

/* A value that nests no more levels than these. */
static Place
after_value(Place at, int levels)
{
    switch (*at) {
    case '"':
        return after_string(at);
    case '{':
    case '[':
        return levels > 0 ? after_container(at, levels - 1) : NULL;
    case 't':
        return after_word(at, "true");
    case 'f':
        return after_word(at, "false");
    case 'n':
        return after_word(at, "null");
    default:
        return after_number(at);
    }
}

static int
is_plain_json(PyObject *text)
{
    if (!PyBytes_CheckExact(text))
        return 0;
    Place begin = (Place)PyBytes_AS_STRING(text), at = after_value(after_space(begin), DEEPEST);
    return at != NULL && after_space(at) == begin + PyBytes_GET_SIZE(text);
}

static int
is_plain_name(PyObject *name)
{
    if (!PyBytes_CheckExact(name))
        return 0;
    Place at = (Place)PyBytes_AS_STRING(name), end = at + PyBytes_GET_SIZE(name);
    while (is_plain(*at))
        at++;
    return at == end;
}

static int
is_named_before(PyObject *fields, Py_ssize_t index)
{
    PyObject *name = PyList_GET_ITEM(fields, index);
    Py_ssize_t size = PyBytes_GET_SIZE(name);
    for (Py_ssize_t earlier = 0; earlier < index; earlier += 2) {
        PyObject *other = PyList_GET_ITEM(fields, earlier);
        if (PyBytes_GET_SIZE(other) == size
            && memcmp(PyBytes_AS_STRING(other), PyBytes_AS_STRING(name), (size_t)size) == 0)
            return 1;
    }
    return 0;
}

static inline int
grow(Py_ssize_t *size, Py_ssize_t by)
{
    if (by > PY_SSIZE_T_MAX - *size)
        return 0;
    *size += by;
    return 1;
}

/* The size of a plain hash once it is encoded; 0 if it is not plain. */
static Py_ssize_t
encoded_size(PyObject *fields)
{
    if (!PyList_CheckExact(fields) || PyList_GET_SIZE(fields) % 2 != 0 || PyList_GET_SIZE(fields) > 2 * MOST_MODELS)
        return 0;
    Py_ssize_t size = 0;
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(fields); index += 2) {
        PyObject *name = PyList_GET_ITEM(fields, index), *text = PyList_GET_ITEM(fields, index + 1);
        if (!is_plain_name(name) || is_named_before(fields, index) || !is_plain_json(text)
            || !grow(&size, PyBytes_GET_SIZE(name)) || !grow(&size, PyBytes_GET_SIZE(text)) || !grow(&size, 4))
            return 0; /* 4: two quotes, a colon, and a comma or brace before them */
    }
    return size > 0 && grow(&size, 1) ? size : 0;
}

static char *
put(char *at, PyObject *bytes)
{
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    memcpy(at, PyBytes_AS_STRING(bytes), (size_t)size);
    return at + size;
}

static PyObject *
encode_plain(PyObject *Py_UNUSED(module), PyObject *fields)
{
    Py_ssize_t size = encoded_size(fields);
    if (size == 0)
        Py_RETURN_NONE;
    PyObject *encoded = PyBytes_FromStringAndSize(NULL, size);
    if (encoded == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(encoded);
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(fields); index += 2) {
        *at++ = index == 0 ? '{' : ',';
        *at++ = '"';
        at = put(at, PyList_GET_ITEM(fields, index));
        *at++ = '"';
        *at++ = ':';
        at = put(at, PyList_GET_ITEM(fields, index + 1));
    }
    *at = '}';
    return encoded;
}

static PyMethodDef functions[] = {
    {"encode_plain", encode_plain, METH_O, "encode_plain(fields): a plain hash as JSON; None if it is not plain."},
    {NULL, NULL, 0, NULL},
};

int
add_encoding(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
