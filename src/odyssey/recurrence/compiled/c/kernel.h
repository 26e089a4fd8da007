/* What all generated loops use: functions of one number, a matrix product, threads.

   Compiled as C11 with GCC's vector extension (GCC, Clang). Everything keeps NaN. */

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#define EACH_UNIT _Pragma("clang loop vectorize(assume_safety)")
#else
#define EACH_UNIT _Pragma("GCC ivdep")
#endif

/* ---- functions of one number, without branches, so that loops over them are vectorized ---- */

static inline float as_float(int32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int32_t as_bits(float x) { int32_t bits; memcpy(&bits, &x, 4); return bits; }

/* exp within 1e-7 of its value: 2^n exp(r) with |r| < 0.35, exp(r) by the polynomial of the Cephes
   library (S. Moshier). Below -87.3, where floats lose digits, it is 0. */
static inline float exp_of(float x) {
    float z = x < -87.3f ? -87.3f : x;
    z = z > 88.72283f ? 88.72283f : z;
    float shifted = z * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to whole numbers */
    float n = shifted - 12582912.0f;
    float r = z - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    /* Half of 2^n, doubled after, since n may be 128. */
    int32_t half = (as_bits(shifted) - 0x4B400000 + 126) << 23;
    y = y * as_float(half) * 2.0f;
    y = x > 88.72283f ? INFINITY : y;
    return x < -87.3f ? 0.0f : y;
}

static inline float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

/* (1 - e) / (1 + e) with e = exp(-2|x|); near 0, where 1 - e loses digits, Cephes' polynomial. */
static inline float tanh_of(float x) {
    float size = __builtin_fabsf(x), e = exp_of(-2.0f * size), q = x * x;
    float far = __builtin_copysignf((1.0f - e) / (1.0f + e), x);
    float near = -5.70498872745e-3f;
    near = near * q + 2.06390887954e-2f;
    near = near * q - 5.37397155531e-2f;
    near = near * q + 1.33314422036e-1f;
    near = near * q - 3.33332819422e-1f;
    near = near * q * x + x;
    return size < 0.625f ? near : far;
}

static inline float relu_of(float x) { return x < 0.0f ? 0.0f : x; }
static inline float sign_of(float x) { return (float)((x > 0.0f) - (x < 0.0f)); }
static inline float pass_of(float g, float y) { return y <= 0.0f ? 0.0f : g; }

/* ---- matrix product: c (rows, n) = a (rows, k) times a packed matrix (k, n) ----

   The weights are the same at every step, so they are packed once: panels of NR columns, each
   (k, NR). A tile of rows times a panel keeps its sums in registers. Every number is summed in
   the order of k, whatever the tile, so it does not depend on the number of threads. */

#if defined(__AVX512F__)
#define VL 16
#define MR 12
#elif defined(__AVX__)
#define VL 8
#define MR 6
#else
#define VL 4
#define MR 6
#endif
#define NR (2 * VL)
typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));

static inline long panels(long n) { return (n + NR - 1) / NR; }

/* w (n, k), to be multiplied by as its transpose: for the forward step. */
static void pack_transposed(const float *w, long n, long k, float *to) {
    for (long j = 0; j < n; j += NR, to += k * NR)
        for (long c = 0; c < NR; c++)
            for (long i = 0; i < k; i++) to[i * NR + c] = j + c < n ? w[(j + c) * k + i] : 0.0f;
}

/* w (k, n), to be multiplied by as it is: for the backward step. */
static void pack_plain(const float *w, long k, long n, float *to) {
    for (long j = 0; j < n; j += NR)
        for (long i = 0; i < k; i++)
            for (long c = 0; c < NR; c++) *to++ = j + c < n ? w[i * n + j + c] : 0.0f;
}

#define TILE static inline __attribute__((always_inline)) void

/* `rows` rows and `wide` panels. Both are constants in all calls, so that loops are unrolled. */
TILE tile(int rows, int wide, long k, const float *a, long lda, const float *p, float *c, long ldc,
          long n) {
    vec s[12][4][2];
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < wide; q++) s[r][q][0] = s[r][q][1] = (vec){0};
    for (long i = 0; i < k; i++)
        for (int q = 0; q < wide; q++) {
            const float *w = p + (q * k + i) * NR;
            vec left = *(const vec *)w, right = *(const vec *)(w + VL);
            for (int r = 0; r < rows; r++) {
                s[r][q][0] += a[r * lda + i] * left;
                s[r][q][1] += a[r * lda + i] * right;
            }
        }
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < wide; q++) {
            float *to = c + r * ldc + q * NR;
            if (n - q * NR >= NR) {
                *(vec *)to = s[r][q][0];
                *(vec *)(to + VL) = s[r][q][1];
            } else {
                for (long j = 0; j < n - q * NR; j++) to[j] = s[r][q][j / VL][j % VL];
            }
        }
}

#define ROWS(m) tile(m, 1, k, a + r * lda, lda, p, c + r * ldc + j, ldc, n - j)

static void product(long rows, long n, long k, const float *a, long lda, const float *p, float *c,
                    long ldc) {
    long j = 0;
    /* One row has too few independent sums for the multipliers: four panels at a time. */
    for (; rows == 1 && j + 4 * NR <= n; j += 4 * NR, p += 4 * k * NR)
        tile(1, 4, k, a, lda, p, c + j, ldc, n - j);
    for (; j < n; j += NR, p += k * NR) {
        long r = 0;
        for (; r + MR <= rows; r += MR) ROWS(MR);
        if (MR > 8 && r + 8 <= rows) { ROWS(8); r += 8; }
        if (r + 4 <= rows) { ROWS(4); r += 4; }
        if (r + 2 <= rows) { ROWS(2); r += 2; }
        if (r < rows) ROWS(1);
    }
}

/* ---- memory and threads ---- */

/* One run. Layouts are those of compiled/buffers.py; `weights` are the groups' (n*H, H). */
typedef struct {
    int64_t steps, batch, hidden, truncation, threads;
    const int64_t *lengths; /* of each sequence, or null */
    float *gates, *extra, *bare, **states;
    const float *biases, *vectors, **weights;
    const float *output, **last; /* adjoints that the backward loop reads */
    float **first, *dgates, *sums; /* and those that it writes */
    /* GOMP_parallel of the OpenMP library that torch is linked to; null where there is none. */
    void (*parallel)(void (*work)(void *), void *data, unsigned threads, unsigned flags);
} Run;

static float *numbers(long n) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, (size_t)(n > 0 ? n : 1) * sizeof(float)) ? NULL : memory;
}

typedef struct Slice {
    const Run *run;
    long from, to; /* rows of the batch */
    float *const *packed;
    float *work, *sums; /* this slice's own */
    void (*loop)(const struct Slice *);
} Slice;

typedef struct {
    Slice *slices;
    long count, next;
} Slices;

/* Each thread takes slices until none is left, so any number of threads finishes them. */
static void run_slices_left(void *data) {
    Slices *all = data;
    for (;;) {
        long i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED);
        if (i >= all->count) return;
        all->slices[i].loop(&all->slices[i]);
    }
}

static void *one_thread(void *data) {
    run_slices_left(data);
    return NULL;
}

static void run_threads(const Run *run, Slices *all) {
    if (all->count == 1) {
        run_slices_left(all);
    } else if (run->parallel) {
        run->parallel(run_slices_left, all, (unsigned)all->count, 0);
    } else {
        pthread_t threads[all->count];
        long started = 0;
        while (started < all->count - 1 &&
               !pthread_create(&threads[started], NULL, one_thread, all))
            started++;
        run_slices_left(all);
        for (long i = 0; i < started; i++) pthread_join(threads[i], NULL);
    }
}

/* Rows of a batch are independent, so each thread takes its rows through the whole loop without
   synchronization. The threads are torch's own: its pool may still be spinning after its last
   product, and a second pool would compete with it. */
static int run_slices(const Run *run, long work, long sums, float *const *packed,
                      void (*loop)(const Slice *)) {
    long n = run->threads, batch = run->batch, hidden = run->hidden;
    if (n > (batch + 3) / 4) n = (batch + 3) / 4; /* the product is slow on fewer than 4 rows */
    if (run->steps * batch * hidden * hidden < 1000000) n = 1;
    if (n < 1) n = 1;
    Slice *slices = calloc((size_t)n, sizeof *slices);
    long rows = (batch + n - 1) / n, own = rows * work * hidden, total = sums * hidden;
    own = (own + 15) / 16 * 16; /* no cache line is shared by two threads */
    float *memory = numbers(n * own), *partial = numbers(n * 2 * total);
    int failed = !slices || !memory || !partial;
    for (long i = 0; !failed && i < n; i++) {
        long from = i * batch / n, to = (i + 1) * batch / n;
        slices[i] = (Slice){run, from, to, packed, memory + i * own, partial + i * 2 * total, loop};
    }
    if (!failed) run_threads(run, &(Slices){slices, n, 0});
    for (long j = 0; !failed && j < total; j++) {
        float sum = 0.0f;
        for (long i = 0; i < n; i++) sum += partial[i * 2 * total + j];
        run->sums[j] = sum;
    }
    free(slices), free(memory), free(partial);
    return failed;
}

/* Sums over time are taken over STRETCH steps each, to lose fewer digits over long sequences. */
#define STRETCH 16
static void add_up(float *total, float *part, long n) {
    for (long j = 0; j < n; j++) total[j] += part[j], part[j] = 0.0f;
}
