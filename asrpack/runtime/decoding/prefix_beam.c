/* CTC prefix beam search, the compiled twin of ctc_prefix_beam.py: the same additions in the same
 * order, so the same results to the last bit. exp and log are the platform's own, as Python's are:
 * compile with -ffp-contract=off, never with -ffast-math.
 *
 * A search holds a tree of all unit sequences that were ever in its beam. Node 0 is the empty one.
 * A hash table finds the child of a node by its unit, so that a sequence that left the beam and
 * comes back is the same node: its extensions that stayed are recognised.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Hotwords as arrays (context_graph.py): the arcs of state s are first[s] .. first[s + 1] - 1,
 * sorted by unit; state 0 is the start. */
typedef struct {
    const int32_t *first, *arc_units, *arc_targets, *fail;
    const double *award, *pending;
} context;

/* A unit sequence in the beam or about to enter it. node is -1 while it is not in the tree. */
typedef struct {
    int32_t node, parent, unit, state; /* state: of the context */
    double blank_ending, unit_ending;  /* log p of its paths by how they end */
    double score;                      /* log p of all of them */
    double kept, rank;                 /* boost of complete hotwords; score with all boost */
} entry;

typedef struct {
    int32_t beam_size, blank, beam_count;
    const context *hotwords;
    entry *beam, *grown;
    int32_t *stays, *top_units; /* per beam entry: its place in grown; per frame: best units */
    float *top_values;
    int32_t *parents, *units, *places; /* per node; its place in the beam or -1 */
    int32_t *table;                    /* nodes by hash of (parent, unit), 0 for none */
    int32_t nodes, capacity;           /* the table is twice the capacity, a power of two */
} search;

static double log_add(double a, double b) {
    if (a < b) {
        double swap = a;
        a = b;
        b = swap;
    }
    return b == -INFINITY ? a : a + log(1.0 + exp(b - a));
}

static double log_add_three(double a, double b, double c) {
    double top = a > b ? a : b;
    top = top > c ? top : c;
    if (top == -INFINITY) return -INFINITY;
    return top + log(exp(a - top) + exp(b - top) + exp(c - top));
}

/* Where (parent, unit) is in the table, or the free place where it belongs. */
static uint32_t table_place(const search *s, int32_t parent, int32_t unit) {
    uint32_t mask = 2 * (uint32_t)s->capacity - 1;
    uint64_t key = ((uint64_t)(uint32_t)parent << 32 | (uint32_t)unit) * 0x9E3779B97F4A7C15u;
    uint32_t place = (uint32_t)(key >> 32) & mask;
    for (int32_t node; (node = s->table[place]); place = (place + 1) & mask)
        if (s->parents[node] == parent && s->units[node] == unit) break;
    return place;
}

/* Room for `more` nodes; 0 where there is no memory. */
static int reserve(search *s, int32_t more) {
    int64_t capacity = s->capacity;
    while (capacity < (int64_t)s->nodes + more) capacity *= 2;
    if (capacity > INT32_MAX / 4) return 0;
    if (capacity == s->capacity && s->table) return 1;
    size_t bytes = (size_t)capacity * sizeof(int32_t);
    int32_t *parents = realloc(s->parents, bytes);
    if (parents) s->parents = parents;
    int32_t *units = realloc(s->units, bytes);
    if (units) s->units = units;
    int32_t *places = realloc(s->places, bytes);
    if (places) s->places = places;
    int32_t *table = calloc((size_t)capacity * 2, sizeof(int32_t));
    if (!parents || !units || !places || !table) {
        free(table);
        return 0;
    }
    free(s->table);
    s->table = table;
    s->capacity = (int32_t)capacity;
    for (int32_t node = 1; node < s->nodes; node++)
        table[table_place(s, s->parents[node], s->units[node])] = node;
    return 1;
}

void prefix_beam_free(search *s) {
    if (!s) return;
    free(s->beam), free(s->grown), free(s->stays), free(s->top_units), free(s->top_values);
    free(s->parents), free(s->units), free(s->places), free(s->table), free(s);
}

/* NULL where there is no memory. hotwords may be NULL; else they must outlive the search. */
search *prefix_beam_new(int32_t beam_size, int32_t blank, const context *hotwords) {
    search *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    size_t size = (size_t)beam_size;
    *s = (search){.beam_size = beam_size, .blank = blank, .hotwords = hotwords, .capacity = 256};
    s->beam = malloc(size * sizeof(entry));
    s->stays = malloc(size * sizeof(int32_t));
    s->top_units = malloc(size * sizeof(int32_t));
    s->top_values = malloc(size * sizeof(float));
    if (!s->beam || !s->stays || !s->top_units || !s->top_values || !reserve(s, 1)) {
        prefix_beam_free(s);
        return NULL;
    }
    s->parents[0] = s->units[0] = s->places[0] = -1;
    s->nodes = s->beam_count = 1;
    s->beam[0] = (entry){.parent = -1, .unit = -1, .unit_ending = -INFINITY};
    return s;
}

/* The `count` likeliest units of a frame, best first; of equals the lower ids. */
static void pick_top(search *s, const float *frame, int32_t units, int32_t count) {
    float *values = s->top_values;
    int32_t *ids = s->top_units, held = 0;
    for (int32_t unit = 0; unit < units; unit++) {
        float value = frame[unit];
        if (held == count && !(value > values[count - 1])) continue;
        int32_t place = held < count ? held++ : count - 1;
        for (; place > 0 && value > values[place - 1]; place--) {
            values[place] = values[place - 1];
            ids[place] = ids[place - 1];
        }
        values[place] = value;
        ids[place] = unit;
    }
}

static void advance_context(const context *c, entry *e) {
    int32_t state = e->state;
    for (;; state = c->fail[state]) {
        int32_t low = c->first[state], end = c->first[state + 1], high = end;
        while (low < high) {
            int32_t middle = low + (high - low) / 2;
            if (c->arc_units[middle] < e->unit) low = middle + 1;
            else high = middle;
        }
        if (low < end && c->arc_units[low] == e->unit) {
            state = c->arc_targets[low];
            break;
        }
        if (state == 0) break;
    }
    e->state = state;
    e->kept += c->award[state];
}

/* The place in grown of the beam's entry i, which stays as it is but for its scores. */
static entry *stay(search *s, int32_t i, int32_t *count) {
    if (s->stays[i] < 0) {
        s->stays[i] = *count;
        entry *e = &s->grown[(*count)++];
        *e = s->beam[i];
        e->blank_ending = e->unit_ending = -INFINITY;
    }
    return &s->grown[s->stays[i]];
}

static void extend(search *s, int32_t i, int32_t unit, double blank, double other, int32_t *count) {
    const entry *from = &s->beam[i];
    int32_t node = s->table[table_place(s, from->node, unit)];
    entry *e;
    if (node && s->places[node] >= 0) {
        e = stay(s, s->places[node], count);
    } else {
        e = &s->grown[(*count)++];
        *e = (entry){.node = node ? node : -1, .parent = from->node, .unit = unit,
                     .state = from->state, .kept = from->kept,
                     .blank_ending = -INFINITY, .unit_ending = -INFINITY};
        if (s->hotwords) advance_context(s->hotwords, e);
    }
    e->unit_ending = e->unit_ending == -INFINITY ? log_add(blank, other)
                                                 : log_add_three(e->unit_ending, blank, other);
}

/* Keeps the best of grown, best first; of equals those met first. New ones enter the tree. */
static void keep_best(search *s, int32_t count) {
    int32_t held = 0;
    for (int32_t i = 0; i < count; i++) {
        entry *e = &s->grown[i];
        e->score = e->rank = log_add(e->blank_ending, e->unit_ending);
        if (s->hotwords) e->rank += e->kept + s->hotwords->pending[e->state];
        if (held == s->beam_size && !(e->rank > s->beam[held - 1].rank)) continue;
        int32_t place = held < s->beam_size ? held++ : held - 1;
        for (; place > 0 && e->rank > s->beam[place - 1].rank; place--)
            s->beam[place] = s->beam[place - 1];
        s->beam[place] = *e;
    }
    s->beam_count = held;
    for (int32_t i = 0; i < held; i++) {
        entry *e = &s->beam[i];
        if (e->node >= 0) continue;
        e->node = s->nodes++;
        s->parents[e->node] = e->parent;
        s->units[e->node] = e->unit;
        s->places[e->node] = -1;
        s->table[table_place(s, e->parent, e->unit)] = e->node;
    }
}

/* Searches on over log-probabilities (frames, units). 0 where there is no memory. */
int prefix_beam_advance(search *s, const float *log_probs, int64_t frames, int32_t units) {
    int32_t top = s->beam_size < units ? s->beam_size : units;
    entry *grown = realloc(s->grown, (size_t)s->beam_size * ((size_t)top + 1) * sizeof(entry));
    if (!grown) return 0;
    s->grown = grown;
    for (int64_t t = 0; t < frames; t++, log_probs += units) {
        if (!reserve(s, s->beam_size)) return 0;
        int32_t count = 0;
        for (int32_t i = 0; i < s->beam_count; i++) {
            s->stays[i] = -1;
            s->places[s->beam[i].node] = i;
        }
        pick_top(s, log_probs, units, top);
        for (int32_t k = 0; k < top; k++) {
            int32_t unit = s->top_units[k];
            double p = s->top_values[k];
            for (int32_t i = 0; i < s->beam_count; i++) {
                const entry *from = &s->beam[i];
                double blank = from->blank_ending + p, other = from->unit_ending + p;
                if (unit == s->blank) {
                    stay(s, i, &count)->blank_ending = log_add(blank, other);
                    continue;
                }
                if (unit == from->unit) { /* the same unit, unless a blank stood between */
                    entry *e = stay(s, i, &count);
                    e->unit_ending = log_add(e->unit_ending, other);
                    other = -INFINITY;
                }
                extend(s, i, unit, blank, other, &count);
            }
        }
        for (int32_t i = 0; i < s->beam_count; i++) s->places[s->beam[i].node] = -1;
        keep_best(s, count);
    }
    return 1;
}

int32_t prefix_beam_count(const search *s) { return s->beam_count; }

/* Length, score and boost (without that of unfinished hotwords) of the beam's entry i. */
int32_t prefix_beam_entry(const search *s, int32_t i, double *score, double *kept) {
    int32_t length = 0;
    for (int32_t node = s->beam[i].node; node; node = s->parents[node]) length++;
    *score = s->beam[i].score;
    *kept = s->beam[i].kept;
    return length;
}

/* Writes the units of the beam's entry i, `length` of them. */
void prefix_beam_units(const search *s, int32_t i, int32_t *units, int32_t length) {
    for (int32_t node = s->beam[i].node; length > 0; node = s->parents[node])
        units[--length] = s->units[node];
}

/* SHA-256 of this file, so that a library of another version is never taken. */
#ifndef SOURCE_DIGEST
#define SOURCE_DIGEST ""
#endif
const char *prefix_beam_source(void) { return SOURCE_DIGEST; }
