/* Whole updates of a model: reader, layers, head, loss, gradients, clipping, optimizer.

   Compiled once, after kernel.h, for all cells and sizes. The two loops of a cell over time are
   functions of its own library. Time T, batch B, N = T B rows; all matrices are row by row. */

/* ---- products with a transposed operand, for the gradients of matrices ---- */

/* c (rows, n) = or += the transpose of a (k, rows) times a packed matrix (k, n). */
TILE tile_back(int rows, long k, const float *a, long lda, const float *p, float *c, long ldc,
               long n, int add) {
    vec s[12][2];
    for (int r = 0; r < rows; r++) s[r][0] = s[r][1] = (vec){0};
    for (long i = 0; i < k; i++) {
        vec left = *(const vec *)(p + i * NR), right = *(const vec *)(p + i * NR + VL);
        for (int r = 0; r < rows; r++) {
            s[r][0] += a[i * lda + r] * left;
            s[r][1] += a[i * lda + r] * right;
        }
    }
    for (int r = 0; r < rows; r++) {
        float *to = c + r * ldc;
        if (n >= NR) {
            if (add) s[r][0] += *(vec *)to, s[r][1] += *(vec *)(to + VL);
            *(vec *)to = s[r][0];
            *(vec *)(to + VL) = s[r][1];
        } else {
            for (long j = 0; j < n; j++) to[j] = (add ? to[j] : 0.0f) + s[r][j / VL][j % VL];
        }
    }
}

#define BACK(m) tile_back(m, k, a + r, lda, p, c + r * ldc + j, ldc, n - j, add)

static void product_back(long rows, long n, long k, const float *a, long lda, const float *p,
                         float *c, long ldc, int add) {
    for (long j = 0; j < n; j += NR, p += k * NR) {
        long r = 0;
        for (; r + MR <= rows; r += MR) BACK(MR);
        if (MR > 8 && r + 8 <= rows) { BACK(8); r += 8; }
        if (r + 4 <= rows) { BACK(4); r += 4; }
        if (r + 2 <= rows) { BACK(2); r += 2; }
        if (r < rows) BACK(1);
    }
}

/* ---- what Python hands over; update.py has the same fields ---- */

typedef int (*Loop)(const Run *);

/* One layer in one direction. `*_rows` say where a row of H numbers lies in b (or -1), in p (or in
   b, where it is -1 - row), in R. Gradients have the form of what they belong to; null if unused. */
typedef struct {
    Loop forward, backward;
    int64_t inputs, hidden, gates, extra, bare, states, groups, dgates, vectors, sums;
    const int64_t *bias_rows, *vector_rows, *sum_rows;
    const int64_t *group_sizes, *group_rows, *group_first, *operand_kinds, *operand_slots;
    const float *W, *R, *b, *p, *P;
    float *dW, *dR, *db, *dp, *dP;
} Layer;

typedef struct {
    float *value, *gradient, *state[2], *step; /* of the optimizer; null where it has none */
    int64_t size;
} Weight;

enum { REAL, ONE_HOT, EMBEDDED };
enum { BERNOULLI, CATEGORICAL, SQUARED };
enum { NO_CLIP, NORM, VALUE };
enum { SGD, ADAM, ADAMW, RMSPROP, ADAGRAD };
enum { BEFORE, AFTER, GATES, EXTRA };

typedef struct {
    int64_t layers, directions, reader, inputs, width, outputs, at_end, truncation;
    const Layer *layer; /* layers x directions */
    const float *embedding, *head, *head_bias;
    float *dembedding, *dhead, *dhead_bias;
    int64_t loss, clip, optimizer, weights;
    const Weight *weight;
    double threshold, momentum, nesterov, decay, beta1, beta2, eps, alpha;
    float **carried; /* states of each layer, (B, H) each: from one window to the next; or null */
} Model;

/* One batch. Targets are floats, or int64 of which those below 0 are ignored. */
typedef struct {
    int64_t steps, batch, reset;
    const void *inputs, *targets;
    const int64_t *lengths; /* or null */
    const float *const *masks; /* dropout after each layer but the last, (N, width); or null */
    double scale, rate; /* of the summed loss; the learning rate */
} Batch;

typedef struct {
    float loss, norm, clipped;
} Done;

/* ---- memory: one block that the caller gives, taken piece by piece ---- */

typedef struct {
    float *next;
    long needed; /* counted where there is no block */
} Block;

static float *take(Block *block, long n) {
    n = (n + 15) / 16 * 16;
    block->needed += n;
    if (!block->next) return NULL;
    float *piece = block->next;
    block->next += n;
    return piece;
}

enum { MOST_LAYERS = 32, MOST_PARTS = 16 }; /* layers in all directions; states, groups of a cell */

/* A layer's part of it, from the forward to the backward pass. */
typedef struct {
    Run run;
    const float *in; /* (N, inputs): what it read, in its own order of time */
    float *states[MOST_PARTS], *first[MOST_PARTS], *last[MOST_PARTS];
    float *weights[MOST_PARTS], *joined[MOST_PARTS]; /* of the groups */
    float *out; /* (N, H): its outputs in the order of time, zero at padding where it matters */
} Pass;

/* ---- small parts ---- */

static void rows_of(float *to, const float *from, const int64_t *rows, const float *other, long n,
                    long h) {
    for (long i = 0; i < n; i++) {
        const float *at = rows[i] >= 0 ? from + rows[i] * h : other ? other - (rows[i] + 1) * h : 0;
        if (at) memcpy(to + i * h, at, sizeof(float) * h);
        else memset(to + i * h, 0, sizeof(float) * h);
    }
}

/* Each sequence in reverse within its own length; padding stays where it is. */
static void flip(const float *from, float *to, long steps, long batch, long width,
                 const int64_t *lengths) {
    for (long t = 0; t < steps; t++)
        for (long b = 0; b < batch; b++) {
            long n = lengths ? lengths[b] : steps, s = t < n ? n - 1 - t : t;
            memcpy(to + (t * batch + b) * width, from + (s * batch + b) * width,
                   sizeof(float) * width);
        }
}

/* y (rows, n) = x (rows, k) times the transpose of w (n, k). */
static void times_transposed(long rows, long n, long k, const float *x, const float *w, float *y,
                             long ldy, float *packed) {
    pack_transposed(w, n, k, packed);
    product(rows, n, k, x, k, packed, y, ldy);
}

/* y (rows, n) = a (rows, k) times w (k, n). */
static void times(long rows, long n, long k, const float *a, long lda, const float *w, float *y,
                  float *packed) {
    pack_plain(w, k, n, packed);
    product(rows, n, k, a, lda, packed, y, n);
}

/* d (n, k) = the transpose of a (rows, n) times x (rows, k), some rows at a time. */
#define AT_A_TIME 512
static void gradient(long rows, long n, long k, const float *a, long lda, const float *x, long ldx,
                     float *d, float *packed) {
    for (long at = 0; at < rows; at += AT_A_TIME) {
        long some = rows - at < AT_A_TIME ? rows - at : AT_A_TIME;
        float *to = packed;
        for (long j = 0; j < k; j += NR)
            for (long i = 0; i < some; i++)
                for (long c = 0; c < NR; c++)
                    *to++ = j + c < k ? x[(at + i) * ldx + j + c] : 0.0f;
        product_back(n, k, some, a + at * lda, lda, packed, d, k, at > 0);
    }
}

/* Sums of the columns of a (rows, n), over STRETCH rows at a time. */
static void column_sums(long rows, long n, const float *a, float *total, float *part) {
    memset(total, 0, sizeof(float) * n), memset(part, 0, sizeof(float) * n);
    for (long i = 0; i < rows; i++) {
        for (long j = 0; j < n; j++) part[j] += a[i * n + j];
        if (i % STRETCH == STRETCH - 1 || i == rows - 1) add_up(total, part, n);
    }
}

static long largest_packed(long n, long k) { return panels(n) * NR * k; }

static long packed_size(const Model *m, long rows) {
    long most = 0, some = rows < AT_A_TIME ? rows : AT_A_TIME;
#define AT_LEAST(n) do { long size = (n); if (size > most) most = size; } while (0)
    for (long l = 0; l < m->layers; l++) {
        const Layer *y = m->layer + l * m->directions;
        long h = y->hidden, x = y->inputs, slots = y->gates + y->bare;
        AT_LEAST(largest_packed(slots * h, x)); /* W, P, as transposes */
        AT_LEAST(largest_packed(x, slots * h)); /* and as they are */
        AT_LEAST(largest_packed(x, some));      /* operands of the gradients */
        AT_LEAST(largest_packed(h, some));
    }
    long out = m->layer[(m->layers - 1) * m->directions].hidden * m->directions;
    AT_LEAST(largest_packed(m->outputs, out));
    AT_LEAST(largest_packed(out, m->outputs));
    AT_LEAST(largest_packed(out, some));
    return most;
}

/* ---- forward ---- */

static const float *read_inputs(const Model *m, const Batch *batch, Block *block) {
    long steps = batch->steps, B = batch->batch;
    if (m->reader == REAL) return batch->inputs;
    float *x = take(block, steps * B * m->width);
    if (!x) return NULL;
    const int64_t *token = batch->inputs;
    if (m->reader == ONE_HOT) memset(x, 0, sizeof(float) * steps * B * m->width);
    for (long t = 0; t < steps; t++)
        for (long b = 0; b < B; b++) {
            long row = t * B + b;
            long k = batch->lengths && t >= batch->lengths[b] ? 0 : token[row];
            if (m->reader == ONE_HOT) x[row * m->width + k] = 1.0f;
            else memcpy(x + row * m->width, m->embedding + k * m->width, sizeof(float) * m->width);
        }
    return x;
}

static int layer_forward(const Layer *y, Pass *pass, const Batch *batch, long truncation,
                         int reversed, float **carried, const float *in, Block *block,
                         float *packed) {
    long T = batch->steps, B = batch->batch, N = T * B, h = y->hidden, x = y->inputs;
    float *flipped = reversed ? take(block, N * x) : NULL;
    float *gates = take(block, N * y->gates * h), *extra = take(block, N * y->extra * h);
    float *bare = take(block, N * y->bare * h), *biases = take(block, y->gates * h);
    float *vectors = take(block, y->vectors * h), *turned = reversed ? take(block, N * h) : NULL;
    for (long k = 0; k < y->states; k++) pass->states[k] = take(block, (T + 1) * B * h);
    long next = 0;
    for (long g = 0; g < y->groups; g++) {
        const int64_t *rows = y->group_rows + next;
        long n = y->group_sizes[g], one = 1;
        for (long i = 1; i < n; i++) one &= rows[i] == rows[0] + i;
        pass->joined[g] = one ? NULL : take(block, n * h * h);
        next += n;
    }
    if (!block->next) return 0;
    next = 0;
    for (long g = 0; g < y->groups; next += y->group_sizes[g++]) {
        const int64_t *rows = y->group_rows + next;
        if (pass->joined[g]) rows_of(pass->joined[g], y->R, rows, NULL, y->group_sizes[g], h * h);
        pass->weights[g] = pass->joined[g] ? pass->joined[g] : (float *)y->R + rows[0] * h * h;
    }
    if (reversed) flip(in, flipped, T, B, x, batch->lengths), in = flipped;
    pass->in = in;
    if (y->gates) times_transposed(N, y->gates * h, x, in, y->W, gates, y->gates * h, packed);
    if (y->bare && y->P) times_transposed(N, y->bare * h, x, in, y->P, bare, y->bare * h, packed);
    else if (y->bare)
        for (long i = 0; i < N * y->bare; i++)
            memcpy(bare + i * h, in + i / y->bare * h, sizeof(float) * h);
    rows_of(biases, y->b, y->bias_rows, NULL, y->gates, h);
    rows_of(vectors, y->p, y->vector_rows, y->b, y->vectors, h);
    for (long k = 0; k < y->states; k++) {
        if (carried) memcpy(pass->states[k], carried[k], sizeof(float) * B * h);
        else memset(pass->states[k], 0, sizeof(float) * B * h);
    }
    pass->run = (Run){.steps = T, .batch = B, .hidden = h, .truncation = truncation, .threads = 1,
                      .lengths = batch->lengths, .gates = gates, .extra = extra, .bare = bare,
                      .states = pass->states, .biases = biases, .vectors = vectors,
                      .weights = (const float **)pass->weights};
    if (y->forward(&pass->run)) return 1;
    pass->out = pass->states[0] + B * h;
    if (reversed) flip(pass->out, turned, T, B, h, batch->lengths), pass->out = turned;
    return 0;
}

/* All layers; `top` (N, H directions) is what the head reads. */
static int stack_forward(const Model *m, Pass *passes, const Batch *batch, int training,
                         const float **inputs, const float **top, Block *block, float *packed) {
    long N = batch->steps * batch->batch, D = m->directions;
    const float *in = *inputs = read_inputs(m, batch, block);
    float **carried = batch->reset ? NULL : m->carried;
    for (long l = 0; l < m->layers; l++) {
        long h = m->layer[l * D].hidden;
        for (long d = 0; d < D; d++) {
            Pass *pass = passes + l * D + d;
            if (layer_forward(m->layer + l * D + d, pass, batch, m->truncation, d, carried, in,
                              block, packed))
                return 1;
            if (carried) carried += m->layer[l * D + d].states;
        }
        const float *mask = training && batch->masks && l < m->layers - 1 ? batch->masks[l] : NULL;
        /* Two directions side by side; and dropout, of a copy: a layer reads its outputs again. */
        float *joined = D > 1 || (training && l < m->layers - 1) ? take(block, N * D * h) : NULL;
        if (!block->next) continue;
        in = passes[l * D].out;
        if (D > 1 || mask) {
            for (long i = 0; i < N; i++)
                for (long d = 0; d < D; d++) {
                    const float *from = passes[l * D + d].out + i * h;
                    float *to = joined + (i * D + d) * h;
                    const float *by = mask ? mask + (i * D + d) * h : NULL;
                    for (long j = 0; j < h; j++) to[j] = by ? from[j] * by[j] : from[j];
                }
            in = joined;
        }
    }
    *top = in;
    if (m->carried && block->next) {
        carried = m->carried;
        for (long l = 0; l < m->layers * D; l++)
            for (long k = 0; k < m->layer[l].states; k++, carried++)
                memcpy(*carried, passes[l].states[k] + N * m->layer[l].hidden,
                       sizeof(float) * batch->batch * m->layer[l].hidden);
    }
    return 0;
}

/* What a head at the end reads, (B, H directions): the forward direction at each sequence's last
   step, the backward one at its first; or puts its adjoint back there. */
static void ends(const Model *m, const Batch *batch, float *top, float *end, int back) {
    long B = batch->batch, D = m->directions, w = D * m->layer[(m->layers - 1) * D].hidden;
    long h = w / D;
    for (long b = 0; b < B; b++)
        for (long d = 0; d < D; d++) {
            long t = d ? 0 : (batch->lengths ? batch->lengths[b] : batch->steps) - 1;
            float *there = top + (t * B + b) * w + d * h, *here = end + b * w + d * h;
            if (back) memcpy(there, here, sizeof(float) * h);
            else memcpy(here, there, sizeof(float) * h);
        }
}

static void head_forward(const Model *m, long rows, const float *x, float *logits, float *packed) {
    long w = m->directions * m->layer[(m->layers - 1) * m->directions].hidden, K = m->outputs;
    times_transposed(rows, K, w, x, m->head, logits, K, packed);
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < K; j++) logits[i * K + j] += m->head_bias[j];
}

/* ---- loss: logits become their adjoints ---- */

/* log(1 + e) for e from 0 to 1, by the polynomial of the Cephes library (S. Moshier). */
static inline float log1p_of(float e) {
    int far = e > 0.41421356f;
    float x = far ? (e - 1.0f) * 0.5f : e, z = x * x;
    float y = 7.0376836292e-2f;
    y = y * x - 1.1514610310e-1f;
    y = y * x + 1.1676998740e-1f;
    y = y * x - 1.2420140846e-1f;
    y = y * x + 1.4249322787e-1f;
    y = y * x - 1.6668057665e-1f;
    y = y * x + 2.0000714765e-1f;
    y = y * x - 2.4999993993e-1f;
    y = y * x + 3.3333331174e-1f;
    y = y * x * z - 0.5f * z + x;
    return far ? y + 0.693147181f : y;
}

static double drain(float *part, long n) {
    double sum = 0.0;
    for (long j = 0; j < n; j++) sum += part[j], part[j] = 0.0f;
    return sum;
}

static float loss_of(const Model *m, const Batch *batch, long rows, float *logits, float *part) {
    long K = m->outputs, B = batch->batch;
    const float *numbers = batch->targets;
    const int64_t *symbols = batch->targets;
    float scale = (float)batch->scale;
    double total = 0.0;
    memset(part, 0, sizeof(float) * K);
    for (long i = 0; i < rows; i++) {
        if (i % STRETCH == 0) total += drain(part, K);
        float *z = logits + i * K;
        int out = !m->at_end && batch->lengths && i / B >= batch->lengths[i % B];
        if (out || (m->loss == CATEGORICAL && symbols[i] < 0)) {
            memset(z, 0, sizeof(float) * K);
            continue;
        }
        if (m->loss == BERNOULLI) {
            const float *y = numbers + i * K;
            EACH_UNIT
            for (long j = 0; j < K; j++) {
                float e = exp_of(-__builtin_fabsf(z[j])), s = 1.0f / (1.0f + e);
                float p = z[j] < 0.0f ? e * s : s;
                part[j] += (z[j] < 0.0f ? 0.0f : z[j]) - z[j] * y[j] + log1p_of(e);
                z[j] = (p - y[j]) * scale;
            }
        } else if (m->loss == CATEGORICAL) {
            float most = z[0], all = 0.0f, right = z[symbols[i]];
            for (long j = 1; j < K; j++) most = z[j] > most ? z[j] : most;
            EACH_UNIT
            for (long j = 0; j < K; j++) z[j] = exp_of(z[j] - most);
            for (long j = 0; j < K; j++) all += z[j];
            part[0] += most - right + logf(all);
            for (long j = 0; j < K; j++) z[j] *= scale / all;
            z[symbols[i]] -= scale;
        } else {
            for (long j = 0; j < K; j++) {
                float far = z[j] - numbers[i * K + j];
                part[j] += far * far;
                z[j] = 2.0f * far * scale;
            }
        }
    }
    total += drain(part, K);
    return (float)(total * batch->scale);
}

/* ---- backward ---- */

/* The gradients of a layer's weights, and `dx` (N, inputs) unless it is null. */
static int layer_backward(const Layer *y, Pass *pass, const Batch *batch, int reversed,
                          const float *adjoint, float *dx, Block *block, float *packed) {
    long T = batch->steps, B = batch->batch, N = T * B, h = y->hidden, x = y->inputs;
    long ldg = y->dgates * h;
    float *turned = reversed ? take(block, N * h) : NULL, *dgates = take(block, N * ldg);
    float *sums = take(block, y->sums * h), *zero = take(block, B * h);
    for (long k = 0; k < y->states; k++) pass->first[k] = take(block, B * h), pass->last[k] = zero;
    if (!block->next) return 0;
    memset(zero, 0, sizeof(float) * B * h);
    if (reversed) flip(adjoint, turned, T, B, h, batch->lengths), adjoint = turned;
    pass->run.output = adjoint, pass->run.dgates = dgates, pass->run.sums = sums;
    pass->run.last = (const float **)pass->last, pass->run.first = pass->first;
    if (y->backward(&pass->run)) return 1;

    if (y->gates) gradient(N, y->gates * h, x, dgates, ldg, pass->in, x, y->dW, packed);
    if (y->bare && y->P)
        gradient(N, y->bare * h, x, dgates + y->gates * h, ldg, pass->in, x, y->dP, packed);
    long next = 0;
    for (long g = 0; g < y->groups; next += y->group_sizes[g++]) {
        const int64_t *rows = y->group_rows + next;
        long slot = y->operand_slots[g], kind = y->operand_kinds[g], ld = h;
        const float *operand = pass->states[kind <= AFTER ? slot : 0];
        if (kind == AFTER) operand += B * h;
        if (kind == GATES) operand = pass->run.gates + slot * h, ld = y->gates * h;
        if (kind == EXTRA) operand = pass->run.extra + slot * h, ld = y->extra * h;
        const float *a = dgates + y->group_first[g] * h;
        if (!pass->joined[g]) {
            gradient(N, y->group_sizes[g] * h, h, a, ldg, operand, ld, y->dR + rows[0] * h * h,
                     packed);
        } else {
            for (long i = 0; i < y->group_sizes[g]; i++)
                gradient(N, h, h, a + i * h, ldg, operand, ld, y->dR + rows[i] * h * h, packed);
        }
    }
    for (long i = 0; i < y->sums; i++) {
        long row = y->sum_rows[i];
        memcpy(row >= 0 ? y->dp + row * h : y->db - (row + 1) * h, sums + i * h,
               sizeof(float) * h);
    }
    if (!dx) return 0;
    if (y->gates) times(N, x, y->gates * h, dgates, ldg, y->W, dx, packed);
    else memset(dx, 0, sizeof(float) * N * x);
    return 0;
}

/* Adds the part of `dx` that comes by way of the bare inputs. */
static void bare_backward(const Layer *y, const Pass *pass, long rows, float *dx, float *part,
                          float *packed) {
    long h = y->hidden, x = y->inputs, ldg = y->dgates * h;
    const float *a = pass->run.dgates + y->gates * h;
    if (y->P) {
        times(rows, x, y->bare * h, a, ldg, y->P, part, packed);
        for (long i = 0; i < rows * x; i++) dx[i] += part[i];
    } else {
        for (long i = 0; i < rows; i++)
            for (long s = 0; s < y->bare; s++)
                for (long j = 0; j < h; j++) dx[i * x + j] += a[i * ldg + s * h + j];
    }
}

/* `top`: the adjoint (N, H directions) of what the head read; also the gradient of an embedding. */
static int stack_backward(const Model *m, Pass *passes, const Batch *batch, float *top,
                          Block *block, float *packed) {
    long T = batch->steps, B = batch->batch, N = T * B, D = m->directions;
    for (long l = m->layers - 1; l >= 0; l--) {
        const Layer *y = m->layer + l * D;
        long h = y->hidden, x = y->inputs, wanted = l > 0 || m->reader == EMBEDDED;
        float *below = wanted ? take(block, N * x) : NULL, *part = wanted ? take(block, N * x) : 0;
        float *turned = wanted && D > 1 ? take(block, N * x) : NULL;
        float *own = D > 1 ? take(block, N * h) : NULL;
        for (long d = 0; d < D; d++) {
            const float *adjoint = top;
            if (D > 1 && block->next) {
                for (long i = 0; i < N; i++)
                    memcpy(own + i * h, top + (i * D + d) * h, sizeof(float) * h);
                adjoint = own;
            }
            Pass *pass = passes + l * D + d;
            float *dx = d ? turned : below;
            if (layer_backward(y + d, pass, batch, d, adjoint, dx, block, packed)) return 1;
            if (!wanted || !block->next) continue;
            if (y->bare) bare_backward(y + d, pass, N, dx, part, packed);
            if (d) {
                flip(dx, part, T, B, x, batch->lengths);
                for (long i = 0; i < N * x; i++) below[i] += part[i];
            }
        }
        if (!block->next) continue;
        if (l > 0 && batch->masks && batch->masks[l - 1])
            for (long i = 0; i < N * x; i++) below[i] *= batch->masks[l - 1][i];
        top = below;
    }
    if (m->reader == EMBEDDED && block->next) {
        const int64_t *token = batch->inputs;
        memset(m->dembedding, 0, sizeof(float) * m->inputs * m->width);
        for (long i = 0; i < N; i++) {
            if (batch->lengths && i / B >= batch->lengths[i % B]) continue;
            float *to = m->dembedding + token[i] * m->width;
            for (long j = 0; j < m->width; j++) to[j] += top[i * m->width + j];
        }
    }
    return 0;
}

/* Loss and all gradients of one batch. Without a block, only counts what it needs. */
static int backpropagate(const Model *m, const Batch *batch, Block *block, float *loss) {
    long N = batch->steps * batch->batch, D = m->directions, K = m->outputs;
    long w = D * m->layer[(m->layers - 1) * D].hidden, rows = m->at_end ? batch->batch : N;
    Pass passes[MOST_LAYERS];
    const float *inputs, *top;
    float *packed = take(block, packed_size(m, N));
    if (stack_forward(m, passes, batch, 1, &inputs, &top, block, packed)) return 1;
    float *end = m->at_end ? take(block, rows * w) : NULL, *dtop = take(block, N * w);
    float *dend = m->at_end ? take(block, rows * w) : dtop, *logits = take(block, rows * K);
    float *part = take(block, K);
    if (block->next) {
        if (end) ends(m, batch, (float *)top, end, 0);
        const float *x = end ? end : top;
        head_forward(m, rows, x, logits, packed);
        *loss = loss_of(m, batch, rows, logits, part);
        gradient(rows, K, w, logits, K, x, w, m->dhead, packed);
        column_sums(rows, K, logits, m->dhead_bias, part);
        times(rows, w, K, logits, K, m->head, dend, packed);
        if (end) {
            memset(dtop, 0, sizeof(float) * N * w);
            ends(m, batch, dtop, dend, 1);
        }
    }
    return stack_backward(m, passes, batch, dtop, block, packed);
}

/* ---- clipping and optimizers: torch's formulas ---- */

/* The sum of squares, in float over 64 vectors at a time. */
static double squares_of(const float *g, long n) {
    double sum = 0.0;
    long i = 0;
    while (i + 4 * VL <= n) {
        vec s[4] = {{0}};
        for (long end = i + 64 * VL; i + 4 * VL <= n && i < end; i += 4 * VL)
            for (int q = 0; q < 4; q++) {
                vec x = *(const vec *)(g + i + q * VL);
                s[q] += x * x;
            }
        s[0] += s[1], s[2] += s[3], s[0] += s[2];
        for (int j = 0; j < VL; j++) sum += s[0][j];
    }
    for (; i < n; i++) sum += (double)g[i] * g[i];
    return sum;
}

static void clip(const Model *m, Done *done) {
    double squares = 0.0;
    float largest = 0.0f;
    for (long k = 0; k < m->weights; k++)
        squares += squares_of(m->weight[k].gradient, m->weight[k].size);
    done->norm = (float)sqrt(squares), done->clipped = 0.0f;
    if (m->clip == NORM) {
        float t = (float)m->threshold, factor = t / done->norm;
        done->clipped = done->norm > t;
        if (factor >= 1.0f) return;
        for (long k = 0; k < m->weights; k++)
            for (long i = 0; i < m->weight[k].size; i++) m->weight[k].gradient[i] *= factor;
    } else if (m->clip == VALUE) {
        float t = (float)m->threshold;
        for (long k = 0; k < m->weights; k++)
            for (long i = 0; i < m->weight[k].size; i++) {
                float *g = m->weight[k].gradient + i, size = __builtin_fabsf(*g);
                largest = size > largest ? size : largest;
                *g = *g > t ? t : *g < -t ? -t : *g;
            }
        done->clipped = largest > t;
    }
}

static void update_weight(const Model *m, const Weight *w, double rate) {
    float *p = w->value, *g = w->gradient, *a = w->state[0], *v = w->state[1];
    long n = w->size;
    float lr = (float)rate, wd = (float)m->decay, momentum = (float)m->momentum;
    float eps = (float)m->eps, nesterov = m->nesterov != 0.0 ? momentum : 0.0f;
    if (w->step) *w->step += 1.0f;
    if (m->optimizer == ADAMW) {
        float kept = (float)(1.0 - rate * m->decay);
        for (long i = 0; i < n; i++) p[i] *= kept;
    } else if (wd != 0.0f) {
        EACH_UNIT
        for (long i = 0; i < n; i++) g[i] += wd * p[i];
    }
    if (m->optimizer == SGD && !a) {
        EACH_UNIT
        for (long i = 0; i < n; i++) p[i] -= lr * g[i];
    } else if (m->optimizer == SGD && nesterov != 0.0f) {
        EACH_UNIT
        for (long i = 0; i < n; i++) {
            a[i] = momentum * a[i] + g[i];
            p[i] -= lr * (g[i] + momentum * a[i]);
        }
    } else if (m->optimizer == SGD) {
        EACH_UNIT
        for (long i = 0; i < n; i++) {
            a[i] = momentum * a[i] + g[i];
            p[i] -= lr * a[i];
        }
    } else if (m->optimizer == ADAM || m->optimizer == ADAMW) {
        double one = 1.0 - pow(m->beta1, *w->step), two = 1.0 - pow(m->beta2, *w->step);
        float size = (float)(rate / one), root = (float)sqrt(two);
        float rest1 = (float)(1.0 - m->beta1);
        float beta2 = (float)m->beta2, rest2 = (float)(1.0 - m->beta2);
        EACH_UNIT
        for (long i = 0; i < n; i++) {
            a[i] += rest1 * (g[i] - a[i]);
            v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
            p[i] -= size * (a[i] / (sqrtf(v[i]) / root + eps));
        }
    } else if (m->optimizer == RMSPROP) {
        float alpha = (float)m->alpha, rest = (float)(1.0 - m->alpha);
        EACH_UNIT
        for (long i = 0; i < n; i++) {
            a[i] = alpha * a[i] + rest * g[i] * g[i];
            g[i] /= sqrtf(a[i]) + eps;
        }
        if (v)
            for (long i = 0; i < n; i++) g[i] = v[i] = momentum * v[i] + g[i];
        EACH_UNIT
        for (long i = 0; i < n; i++) p[i] -= lr * g[i];
    } else {
        EACH_UNIT
        for (long i = 0; i < n; i++) {
            a[i] += g[i] * g[i];
            p[i] -= lr * (g[i] / (sqrtf(a[i]) + eps));
        }
    }
}

/* ---- entry points ---- */

enum { NO_MEMORY = -1, OUT_OF_RANGE = -2 };

/* Whether tokens, classes and lengths are such that nothing outside of a tensor is read. */
static int fits(const Model *m, const Batch *batch) {
    long T = batch->steps, B = batch->batch, rows = m->at_end ? B : T * B;
    const int64_t *token = batch->inputs, *target = batch->targets;
    int right = 1;
    for (long b = 0; batch->lengths && b < B; b++)
        right &= batch->lengths[b] >= 1 && batch->lengths[b] <= T;
    if (m->reader != REAL)
        for (long i = 0; i < T * B; i++) {
            int out = batch->lengths && i / B >= batch->lengths[i % B];
            right &= out || (token[i] >= 0 && token[i] < m->inputs);
        }
    if (m->loss == CATEGORICAL)
        for (long i = 0; i < rows; i++) {
            int out = !m->at_end && batch->lengths && i / B >= batch->lengths[i % B];
            right &= out || target[i] < m->outputs;
        }
    return right;
}

/* Floats of memory that `train` needs for batches of this size; `evaluate` needs less. */
int64_t needed(const Model *m, int64_t steps, int64_t batch) {
    Batch largest = {.steps = steps, .batch = batch, .reset = 1};
    Block block = {0};
    float loss;
    Model plain = *m;
    plain.carried = NULL;
    backpropagate(&plain, &largest, &block, &loss);
    return block.needed;
}

/* Updates, one a batch, until the loss is not finite; how many were made, or what is wrong. */
int64_t train(const Model *m, const Batch *batches, int64_t count, Done *done, float *memory) {
    for (int64_t i = 0; i < count; i++)
        if (!fits(m, batches + i)) return OUT_OF_RANGE;
    for (int64_t i = 0; i < count; i++) {
        Block block = {memory, 0};
        if (backpropagate(m, batches + i, &block, &done[i].loss)) return NO_MEMORY;
        clip(m, done + i);
        for (long k = 0; k < m->weights; k++) update_weight(m, m->weight + k, batches[i].rate);
        if (!isfinite(done[i].loss)) return i + 1;
    }
    return count;
}

/* Loss and gradients of one batch, without an update. */
int64_t gradients(const Model *m, const Batch *batch, float *loss, float *memory) {
    Block block = {memory, 0};
    if (!fits(m, batch)) return OUT_OF_RANGE;
    return backpropagate(m, batch, &block, loss) ? NO_MEMORY : 0;
}

/* Logits (N, K), or (B, K) at the end, of a batch; or, where there is no place for them, the loss. */
int64_t evaluate(const Model *m, const Batch *batch, float *logits, float *loss, float *memory) {
    Block block = {memory, 0};
    if (!fits(m, batch)) return OUT_OF_RANGE;
    long N = batch->steps * batch->batch, D = m->directions, K = m->outputs;
    long w = D * m->layer[(m->layers - 1) * D].hidden, rows = m->at_end ? batch->batch : N;
    Pass passes[MOST_LAYERS];
    const float *inputs, *top;
    float *packed = take(&block, packed_size(m, N));
    if (stack_forward(m, passes, batch, 0, &inputs, &top, &block, packed)) return NO_MEMORY;
    float *end = m->at_end ? take(&block, batch->batch * w) : NULL;
    if (end) ends(m, batch, (float *)top, end, 0);
    float *own = logits ? NULL : take(&block, rows * K), *part = take(&block, K);
    head_forward(m, rows, end ? end : top, logits ? logits : own, packed);
    if (!logits) *loss = loss_of(m, batch, rows, own, part);
    return 0;
}
