/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small conversions that every build_*.c needs. Files are read here and nowhere else in a build.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void out_of_memory(struct builder *b)
{
    if (!b->out_of_memory)
        config_diag_error(b->diag, (struct config_pos){b->doc->sources[0], 0, 0}, "",
                          "the configuration needs too much memory");
    b->out_of_memory = true;
}

struct slice builder_bytes(struct builder *b, struct arena *arena, const void *data, size_t len)
{
    struct slice copy = arena_dup(arena, slice_of(data, len));
    if (!copy.ptr)
        out_of_memory(b);
    return copy.ptr ? copy : SLICE_LIT("");
}

struct slice builder_text(struct builder *b, struct arena *arena, const char *text)
{
    /* A choice that was not made, which is reported already, leaves no text at all. */
    return text ? builder_bytes(b, arena, text, strlen(text)) : SLICE_LIT("");
}

void *builder_array(struct builder *b, struct arena *arena, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    void *items = arena_calloc(arena, count, size);
    if (!items)
        out_of_memory(b);
    return items;
}

struct slice *builder_texts(struct builder *b, struct arena *arena, char *const *in, size_t count)
{
    struct slice *out = builder_array(b, arena, count, sizeof *out);
    for (size_t i = 0; out && i < count; i++)
        out[i] = builder_text(b, arena, in[i]);
    return out;
}

const ProtobufCMessage *builder_typed_config(struct builder *b, const ProtobufCMessage *owner,
                                             const Google__Protobuf__Any *in, const char *says)
{
    if (!in)
        config_error_at(b->doc, b->diag, owner, "typed_config", -1, "is required: it says %s", says);
    return in ? config_any_message(b->doc, in) : NULL;
}

uint64_t builder_ms(const Google__Protobuf__Duration *d, uint64_t unset)
{
    if (!d)
        return unset;
    if (d->seconds < 0 || d->nanos < 0)
        return 0;
    return (uint64_t)d->seconds * 1000 + ((uint64_t)d->nanos + 999999) / 1000000;
}

void builder_fraction(const Envoy__Type__V3__FractionalPercent *in, uint32_t *numerator,
                      uint32_t *denominator)
{
    static const uint32_t denominators[] = {100, 10000, 1000000};
    *numerator = 100;
    *denominator = 100;
    if (!in || (size_t)in->denominator >= WEIR_ARRAY_LEN(denominators))
        return;
    *numerator = in->numerator;
    *denominator = denominators[in->denominator];
}

/* --- data sources --- */

static struct slice read_into(struct builder *b, const Envoy__Config__Core__V3__DataSource *source,
                              struct arena *arena, size_t max)
{
    /* A FIFO would block, a device has no end. */
    int fd = open(source->filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st = {0};
    const char *why = NULL;
    char *content = NULL;
    size_t len = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "it is no regular file";
    else if ((uint64_t)st.st_size > max)
        why = "it is too large";
    else if (!(content = arena_alloc_text(arena, (size_t)st.st_size + 1)))
        why = "out of memory";
    while (!why && len < (size_t)st.st_size) {
        ssize_t n = read(fd, content + len, (size_t)st.st_size - len);
        if (n == 0)
            break; /* it became shorter meanwhile */
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            why = strerror(errno);
    }
    if (fd >= 0)
        close(fd);
    if (why) {
        builder_error(b, source, "filename", "cannot read \"%s\": %s", source->filename, why);
        return SLICE_EMPTY;
    }
    content[len] = '\0';
    return slice_of(content, len);
}

struct slice builder_data_source(struct builder *b, const Envoy__Config__Core__V3__DataSource *source,
                                 struct arena *arena, size_t max)
{
    const char *value;
    switch (source->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME:
        return read_into(b, source, arena, max);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        return builder_bytes(b, arena, source->inline_bytes.data, source->inline_bytes.len);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        return builder_text(b, arena, source->inline_string);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE:
        value = getenv(source->environment_variable);
        if (value)
            return builder_text(b, arena, value);
        builder_error(b, source, "environment_variable", "the environment has no \"%s\"",
                      source->environment_variable);
        return SLICE_EMPTY;
    default:
        return SLICE_EMPTY; /* the API requires one: reported already */
    }
}

/* --- addresses --- */

bool builder_address(struct builder *b, const Envoy__Config__Core__V3__Address *address, struct address *out)
{
    *out = (struct address){0};
    if (address->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        if (address_unix(slice_str(address->pipe->path), out))
            return true;
        builder_error(b, address->pipe, "path", "is no path of a socket: it is empty or too long");
        return false;
    }
    if (address->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        return false; /* the API requires one: reported already */
    const Envoy__Config__Core__V3__SocketAddress *s = address->socket_address;
    if (address_parse_ip(slice_str(s->address), (uint16_t)s->port_value, out))
        return true;
    builder_error(b, s, "address", "\"%s\" is no IP address; a name cannot be used here", s->address);
    return false;
}

const struct cidr *builder_cidrs(struct builder *b, struct arena *arena, const ProtobufCMessage *owner,
                                 const char *field, Envoy__Config__Core__V3__CidrRange *const *ranges,
                                 size_t count)
{
    struct cidr *out = builder_array(b, arena, count, sizeof *out);
    for (size_t i = 0; out && i < count; i++) {
        if (!cidr_init(&out[i], slice_str(ranges[i]->address_prefix), builder_u32(ranges[i]->prefix_len, 0)))
            config_error_at(b->doc, b->diag, owner, field, (int32_t)i,
                            "\"%s/%u\" is no range of IP addresses", ranges[i]->address_prefix,
                            builder_u32(ranges[i]->prefix_len, 0));
    }
    return out;
}

/* --- errors of resources --- */

struct path_place {
    const ProtobufCMessage *msg;
    const char *field;
    int32_t index;
};

static const ProtobufCMessage *step_into(const ProtobufCMessage *msg, int field, int32_t index)
{
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    const char *slot = (const char *)msg + fd->offset;
    if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    if (fd->label != PROTOBUF_C_LABEL_REPEATED)
        return *(ProtobufCMessage *const *)slot;
    size_t n = *(const size_t *)((const char *)msg + fd->quantifier_offset);
    return index >= 0 && (size_t)index < n ? (*(ProtobufCMessage * *const *)slot)[index] : NULL;
}

/* As far as the path leads; what is left is the caller's to show. */
static struct path_place find_place(const ProtobufCMessage *root, struct slice path, struct slice *left)
{
    struct path_place place = {root, NULL, -1};
    struct slice rest = path;
    struct slice part;
    while (path.len > 0 && slice_split(&rest, '.', &part)) {
        ptrdiff_t bracket = slice_find_char(part, '[');
        struct slice name = bracket >= 0 ? slice_take(part, (size_t)bracket) : part;
        const struct meta_message *meta = meta_of(place.msg->descriptor);
        int field = meta_find_field(meta, name);
        if (field < 0)
            break;
        uint64_t index = 0;
        struct slice number = bracket >= 0 ? slice_skip(part, (size_t)bracket + 1) : SLICE_EMPTY;
        bool indexed = number.len > 1 && slice_parse_u64(slice_take(number, number.len - 1), &index);
        place.field = meta_str(meta_field(meta, (unsigned)field)->name);
        place.index = indexed ? (int32_t)index : -1;
        *left = rest.ptr ? rest : SLICE_EMPTY;
        const ProtobufCMessage *next = step_into(place.msg, field, place.index);
        if (!next || !rest.ptr)
            break;
        place = (struct path_place){next, NULL, -1};
    }
    return place;
}

static void report_finish(void *arg, const char *path, const char *text)
{
    struct builder_finish *f = arg;
    struct slice left = SLICE_EMPTY;
    struct path_place place = find_place(f->root, slice_str(path), &left);
    config_error_at(f->b->doc, f->b->diag, place.msg, place.field, place.index, "%.*s%s%s", SLICE_ARG(left),
                    left.len ? ": " : "", text);
}

void builder_finish_init(struct builder_finish *f, struct builder *b, const ProtobufCMessage *root)
{
    *f = (struct builder_finish){.b = b, .root = root, .errors = {.report = report_finish, .arg = f}};
}
