//! What looks decided by a name or a type, and is not: refused, with lines that settle it.

mod support;

use iotdec_wrap::rules::Crossing;
use support::{data, refused, rules, wrapped};

#[test]
fn how_much_it_is_to() {
    const HEADER: &str = "
        #include <stddef.h>
        struct point { int x, y; };
        void sorts(void *base, size_t count, size_t size, int (*by)(const void *, const void *));
        long reads(void *room, size_t size, size_t nmemb);
        int pads(unsigned char *data, int len, int new_len);
        int grows(void *dict_room, size_t dict_size, size_t dict_capacity);
        int words(const void *data, size_t word_count);
        int samples(const unsigned char *data, unsigned num_samples);
        int flags(const int *flags, int num_points);
        int source_first(const char *src, char *dst, int srcSize);
        int later(const char *data, int flags, size_t len);
        int before(size_t len, const char *data);
        int counts_before(size_t count, const struct point *points);
        int plural(const struct point *points, unsigned npoints);
        int total(const struct point *points, unsigned total);
        int range(const char *begin, const char *end);
        int range_of(const struct point *first, const struct point *last);
        int pool(const char *name, size_t size);
        int at_least(const char p[1]);
        int at_least_and(int p[4], size_t count);
        ";
    let rules = rules(HEADER, "");
    for (name, says) in [
        ("sorts", "count and size may both say"),
        ("reads", "size and nmemb may both say"),
        ("pads", "len and new_len may both say"),
        ("grows", "dict_size and dict_capacity may both say"),
        ("words", "word_count may count something else"),
        ("samples", "num_samples may count something else"),
        ("flags", "num_points may count something else"),
        ("source_first", "srcSize may be how much src is to"),
        ("later", "len may be how much"),
        ("before", "len may be how much"),
        ("counts_before", "count may be how much"),
        ("plural", "it may be to several structs"),
        ("total", "it may be to several structs"),
        ("range", "the two ends of one range"),
        ("range_of", "the two ends of one range"),
        ("pool", "it may be text, or size may be how much"),
        ("at_least", "an array of one may be text"),
        (
            "at_least_and",
            "it is to 4 or more, or as many as count says",
        ),
    ] {
        refused(&rules, name, says);
        refused(
            &rules,
            name,
            &format!("say in wrap.toml: [function.{name}]"),
        );
    }
}

#[test]
fn what_names_leave_no_doubt_of() {
    const HEADER: &str = "
        #include <stddef.h>
        int packet(const unsigned char *data, int len, int num_streams);
        int picture(const unsigned char *jpeg_buf, size_t jpeg_size, int count);
        int samples(const void *samples, const size_t *sample_sizes, unsigned num_samples);
        int copies(char *to, size_t to_size, const char *from, size_t from_size);
        int gets(const char *key, char *value, size_t value_size);
        int looks(const char *name, int flags, size_t depth_size);
        int allocates(size_t size, const char *file, int line);
        ";
    let rules = rules(HEADER, "[function.samples]\nsamples = \"shared\"");
    assert_eq!(data(&rules, "packet", 0), ("len", true, false));
    assert_eq!(data(&rules, "picture", 0), ("jpeg_size", true, false));
    assert_eq!(data(&rules, "samples", 1), ("num_samples", true, false));
    assert_eq!(data(&rules, "copies", 0), ("to_size", true, true));
    assert_eq!(data(&rules, "copies", 2), ("from_size", true, false));
    assert_eq!(data(&rules, "gets", 1), ("value_size", true, true));
    for (name, index) in [("gets", 0), ("looks", 0), ("allocates", 1)] {
        assert_eq!(
            wrapped(&rules, name).parameters[index],
            Crossing::Text,
            "{name}"
        );
    }
}

#[test]
fn what_pointers_in_arrays_lead_to() {
    const HEADER: &str = "
        #include <stddef.h>
        struct opaque;
        struct point { int x, y; };
        int names(const char **names, int count);
        int three(const char *names[3]);
        int points(const struct point *const *points, size_t count);
        int anything(const void *const *things, size_t count);
        int objects(struct opaque **objects, size_t count);
        ";
    let without = rules(HEADER, "");
    for name in ["names", "three", "points", "anything"] {
        refused(&without, name, "would not cross");
    }
    refused(&without, "names", "\"strings[count]\"");
    assert_eq!(data(&without, "objects", 0), ("count", true, true));
    let noted = rules(HEADER, "[function.names]\nnames = \"strings[count]\"");
    assert!(matches!(
        wrapped(&noted, "names").parameters[0],
        Crossing::Texts(_)
    ));
}

#[test]
fn what_pointers_in_structs_by_value_lead_to() {
    const HEADER: &str = "
        #include <stddef.h>
        struct opaque;
        struct view { const char *text; size_t size; };
        struct outer { int number; struct view view; };
        union either { long number; const char *text; };
        struct table { int (*calls[2])(int); };
        struct handler { int (*call)(void *, int); void *context; struct opaque *object; };
        int shows(struct view view);
        int shows_outer(struct outer outer);
        int shows_either(union either either);
        int calls(struct table table);
        int handles(struct handler handler);
        struct view gives(void);
        ";
    let without = rules(HEADER, "");
    for (name, line) in [
        ("shows", "[struct.view] text = "),
        ("shows_outer", "[struct.view] text = "),
        ("shows_either", "[struct.either] text = "),
        ("calls", "[struct.table] calls = "),
    ] {
        refused(&without, name, line);
    }
    refused(&without, "shows", "nothing crosses but the address");
    refused(&without, "calls", "fields of the struct itself");
    assert!(matches!(
        wrapped(&without, "handles").parameters[0],
        Crossing::RecordWith(_)
    ));
    wrapped(&without, "gives");
    let noted = rules(HEADER, "[struct.view]\ntext = \"shared\"");
    assert_eq!(wrapped(&noted, "shows").parameters, [Crossing::Record]);
}

#[test]
fn what_scanf_writes() {
    const HEADER: &str = "
        int scans(const char *text, const char *format, ...) __attribute__((format(scanf, 2, 3)));
        ";
    for config in ["", "[function.scans]\nformat = \"format\""] {
        refused(&rules(HEADER, config), "scans", "as for scanf");
    }
}
