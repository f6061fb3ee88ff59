/*
 * gray_scott: a reaction-diffusion simulation that checkpoints into HDF5 through Augur
 *
 * Two substances u and v react and diffuse on a periodic grid (Gray and Scott 1984; Pearson 1993). Every checkpoint
 * appends one step to the datasets /u and /v, which have an unlimited time axis and chunks of 16 steps, and flushes the
 * file. A restart reads the last step back and goes on, in the middle of a chunk as well.
 *
 * Build and run (Debian: apt install libhdf5-dev; the plugin is made by `make build` in the repository's root):
 *
 *     make -C examples/c
 *     export HDF5_PLUGIN_PATH=$PWD/dist/plugins
 *     examples/c/gray_scott run.h5 --steps 40 --bound 1e-3
 *     examples/c/gray_scott run.h5 --steps 24 --restart
 *     h5dump -p -H run.h5
 *
 * The computation uses additions and multiplications only, in a fixed order, so that it gives the same bits on every
 * machine (compile with -ffp-contract=off). With --raw it also writes what it handed to HDF5 into a plain binary file
 * (for each step u, then v), against which the error bound can be checked.
 */
#include "augur_h5.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *file;
    const char *raw;       /* side file with what was written, or NULL */
    hsize_t steps;         /* checkpoints to write in this run */
    unsigned every;        /* solver iterations between two checkpoints */
    hsize_t ny, nx;        /* grid */
    hsize_t chunk;         /* time steps in a chunk */
    augur_options_t augur; /* bound and preset */
    int no_augur;          /* 1: no filter at all */
    int is_double;         /* 1: store 64-bit floats, else 32-bit ones */
    long long cache;       /* bytes of the chunk cache of each dataset, or -1: HDF5's default */
    int reopen;            /* 1: close and open the file for each step */
    int restart;           /* 1: go on from the file's last step */
    long long rewind;      /* step to go on from when restarting, or -1: the last */
    int at_once;           /* 1: keep all steps in memory and write them in one call */
};

/* The state of the simulation: u, then v, and room for the next iteration. */
struct state {
    hsize_t ny, nx;
    double *now, *next;
};

static void fail(const char *what)
{
    fprintf(stderr, "gray_scott: %s\n", what);
    exit(1);
}

/* Passes a valid HDF5 id or status through; ends the program otherwise. HDF5 has said why by then. */
static hid_t ok(hid_t id, const char *what)
{
    if (id < 0) {
        fprintf(stderr, "gray_scott: %s failed\n", what);
        exit(1);
    }
    return id;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory)
        fail("out of memory");
    return memory;
}

/* u = 1 and v = 0, with square spots of v at places from a small generator of integers. */
static void start(struct state *s)
{
    const hsize_t points = s->ny * s->nx;
    unsigned seed = 12345;
    hsize_t i, y, x;

    for (i = 0; i < points; i++) {
        s->now[i] = 1.0;
        s->now[points + i] = 0.0;
    }
    for (i = 0; i < 8; i++) {
        seed = seed * 1664525u + 1013904223u;
        const hsize_t y0 = (seed >> 8) % s->ny, x0 = (seed >> 20) % s->nx;
        for (y = 0; y < 6; y++)
            for (x = 0; x < 6; x++) {
                const hsize_t p = (y0 + y) % s->ny * s->nx + (x0 + x) % s->nx;
                s->now[p] = 0.5;
                s->now[points + p] = 0.25;
            }
    }
}

/* One explicit Euler step with the five-point Laplacian. */
static void iterate(struct state *s)
{
    const double du = 0.16, dv = 0.08, feed = 0.035, kill = 0.06;
    const hsize_t points = s->ny * s->nx;
    const double *u = s->now, *v = s->now + points;
    double *swap;
    hsize_t y, x;

    for (y = 0; y < s->ny; y++) {
        const hsize_t up = (y + s->ny - 1) % s->ny * s->nx, down = (y + 1) % s->ny * s->nx, row = y * s->nx;
        for (x = 0; x < s->nx; x++) {
            const hsize_t left = (x + s->nx - 1) % s->nx, right = (x + 1) % s->nx, p = row + x;
            const double lu = ((u[up + x] + u[down + x]) + (u[row + left] + u[row + right])) - 4.0 * u[p];
            const double lv = ((v[up + x] + v[down + x]) + (v[row + left] + v[row + right])) - 4.0 * v[p];
            const double uvv = u[p] * v[p] * v[p];
            s->next[p] = u[p] + (du * lu - uvv + feed * (1.0 - u[p]));
            s->next[points + p] = v[p] + (dv * lv + uvv - (feed + kill) * v[p]);
        }
    }
    swap = s->now;
    s->now = s->next;
    s->next = swap;
}

/* The state as the file's type holds it, u then v; returns the number of bytes. */
static size_t to_stored(const struct settings *o, const struct state *s, void *out)
{
    const size_t values = 2 * (size_t)(s->ny * s->nx);
    size_t i;

    if (o->is_double) {
        memcpy(out, s->now, values * sizeof(double));
        return values * sizeof(double);
    }
    for (i = 0; i < values; i++)
        ((float *)out)[i] = (float)s->now[i];
    return values * sizeof(float);
}

/* An open file with its three datasets. /time is extended last, so its length is the number of complete steps. */
struct output {
    hid_t file, field[2], time;
};

static const char *const names[2] = { "u", "v" };

static hid_t stored_type(const struct settings *o)
{
    return o->is_double ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
}

static hid_t access_list(const struct settings *o)
{
    hid_t dapl = ok(H5Pcreate(H5P_DATASET_ACCESS), "H5Pcreate");
    if (o->cache >= 0)
        ok(H5Pset_chunk_cache(dapl, 521, (size_t)o->cache, 0.75), "H5Pset_chunk_cache");
    return dapl;
}

static void create_output(const struct settings *o)
{
    const hsize_t none[3] = { 0, o->ny, o->nx }, most[3] = { H5S_UNLIMITED, o->ny, o->nx };
    const hsize_t chunk[3] = { o->chunk, o->ny, o->nx }, time_chunk[1] = { 1024 };
    hid_t file = ok(H5Fcreate(o->file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "creating the file");
    hid_t space = ok(H5Screate_simple(3, none, most), "H5Screate_simple");
    hid_t dcpl = ok(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate");
    hid_t data;
    int i;

    ok(H5Pset_chunk(dcpl, 3, chunk), "H5Pset_chunk");
    if (!o->no_augur)
        ok(H5Pset_augur(dcpl, &o->augur), "H5Pset_augur");
    for (i = 0; i < 2; i++) {
        data = ok(H5Dcreate2(file, names[i], stored_type(o), space, H5P_DEFAULT, dcpl, H5P_DEFAULT), "H5Dcreate");
        H5Dclose(data);
    }
    H5Pclose(dcpl);
    H5Sclose(space);

    dcpl = ok(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate");
    ok(H5Pset_chunk(dcpl, 1, time_chunk), "H5Pset_chunk");
    space = ok(H5Screate_simple(1, none, most), "H5Screate_simple");
    data = ok(H5Dcreate2(file, "time", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT), "H5Dcreate");
    H5Dclose(data);
    H5Pclose(dcpl);
    H5Sclose(space);
    ok(H5Fclose(file), "closing the file");
}

static struct output open_output(const struct settings *o)
{
    struct output out;
    hid_t dapl = access_list(o);
    int i;

    out.file = ok(H5Fopen(o->file, H5F_ACC_RDWR, H5P_DEFAULT), "opening the file");
    for (i = 0; i < 2; i++)
        out.field[i] = ok(H5Dopen2(out.file, names[i], dapl), "H5Dopen");
    out.time = ok(H5Dopen2(out.file, "time", H5P_DEFAULT), "H5Dopen");
    H5Pclose(dapl);
    return out;
}

/* Chunks that are still in the cache are compressed and written here, so closing can fail. */
static void close_output(struct output *out)
{
    ok(H5Dclose(out->field[0]), "closing /u");
    ok(H5Dclose(out->field[1]), "closing /v");
    ok(H5Dclose(out->time), "closing /time");
    ok(H5Fclose(out->file), "closing the file");
}

static void extents(hid_t data, hsize_t dims[3])
{
    hid_t space = ok(H5Dget_space(data), "H5Dget_space");
    if (H5Sget_simple_extent_ndims(space) > 3)
        fail("the file's datasets have another rank than this program writes");
    ok(H5Sget_simple_extent_dims(space, dims, NULL), "H5Sget_simple_extent_dims");
    H5Sclose(space);
}

/* Writes `count` steps from `step` on into a dataset with `rank` axes, extending it where it is too short. */
static void put(hid_t data, int rank, const hsize_t *grid, hsize_t step, hsize_t count, hid_t type, const void *values)
{
    hsize_t dims[3] = { 0, 0, 0 }, start_at[3] = { step, 0, 0 }, size[3] = { count, 0, 0 };
    hid_t memory, space;
    int i;

    extents(data, dims);
    if (dims[0] < step + count) {
        dims[0] = step + count;
        ok(H5Dset_extent(data, dims), "H5Dset_extent");
    }
    for (i = 1; i < rank; i++)
        size[i] = grid[i - 1];
    space = ok(H5Dget_space(data), "H5Dget_space");
    memory = ok(H5Screate_simple(rank, size, NULL), "H5Screate_simple");
    ok(H5Sselect_hyperslab(space, H5S_SELECT_SET, start_at, NULL, size, NULL), "H5Sselect_hyperslab");
    ok(H5Dwrite(data, type, memory, space, H5P_DEFAULT, values), "H5Dwrite");
    H5Sclose(memory);
    H5Sclose(space);
}

/* Appends (or overwrites) `count` steps; u and v hold them one after the other. */
static void write_steps(const struct settings *o, struct output *out, hsize_t step, hsize_t count, const void *u,
                        const void *v, const double *times)
{
    const hsize_t grid[2] = { o->ny, o->nx };

    put(out->field[0], 3, grid, step, count, stored_type(o), u);
    put(out->field[1], 3, grid, step, count, stored_type(o), v);
    put(out->time, 1, NULL, step, count, H5T_NATIVE_DOUBLE, times);
    ok(H5Fflush(out->file, H5F_SCOPE_GLOBAL), "H5Fflush");
}

/* Takes grid, type and state from a step of the file; returns that step's number. */
static hsize_t read_restart(struct settings *o, struct state *s)
{
    hsize_t dims[3] = { 0, 0, 0 }, steps[3] = { 0, 0, 0 }, at[3] = { 0, 0, 0 }, size[3] = { 1, 0, 0 };
    struct output out = open_output(o);
    hid_t type, space, memory;
    int i;

    extents(out.time, steps);
    extents(out.field[0], dims);
    if (steps[0] == 0)
        fail("the file holds no complete step to restart from");
    at[0] = o->rewind >= 0 ? (hsize_t)o->rewind : steps[0] - 1;
    if (at[0] >= steps[0])
        fail("the step to restart from is not in the file");
    type = ok(H5Dget_type(out.field[0]), "H5Dget_type");
    o->is_double = H5Tget_size(type) == sizeof(double);
    H5Tclose(type);
    o->ny = s->ny = size[1] = dims[1];
    o->nx = s->nx = size[2] = dims[2];
    s->now = allocate(2 * (size_t)(o->ny * o->nx) * sizeof(double));
    s->next = allocate(2 * (size_t)(o->ny * o->nx) * sizeof(double));
    memory = ok(H5Screate_simple(3, size, NULL), "H5Screate_simple");
    for (i = 0; i < 2; i++) {
        space = ok(H5Dget_space(out.field[i]), "H5Dget_space");
        ok(H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, size, NULL), "H5Sselect_hyperslab");
        ok(H5Dread(out.field[i], H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, s->now + i * o->ny * o->nx),
           "reading the checkpoint");
        H5Sclose(space);
    }
    H5Sclose(memory);
    close_output(&out);
    return at[0];
}

static void write_raw(const char *path, hsize_t step, const void *values, size_t bytes)
{
    FILE *f = fopen(path, "r+b");

    if (!f && errno == ENOENT)
        f = fopen(path, "w+b");
    if (!f || fseek(f, (long)(step * bytes), SEEK_SET) != 0 || fwrite(values, 1, bytes, f) != bytes || fclose(f) != 0)
        fail("the side file could not be written");
}

static void run(struct settings *o)
{
    struct state s = { o->ny, o->nx, NULL, NULL };
    struct output out;
    hsize_t first = 0, i;
    unsigned k;
    size_t bytes, field;
    char *values, *all_u = NULL, *all_v = NULL;
    double *times;

    if (o->restart) {
        first = read_restart(o, &s) + 1;
    } else {
        s.now = allocate(2 * (size_t)(o->ny * o->nx) * sizeof(double));
        s.next = allocate(2 * (size_t)(o->ny * o->nx) * sizeof(double));
        start(&s);
        create_output(o);
    }
    field = (size_t)(o->ny * o->nx) * (o->is_double ? sizeof(double) : sizeof(float));
    values = allocate(2 * field);
    times = allocate((size_t)o->steps * sizeof(double));
    if (o->at_once) {
        all_u = allocate((size_t)o->steps * field);
        all_v = allocate((size_t)o->steps * field);
    }
    out = open_output(o);
    for (i = 0; i < o->steps; i++) {
        const hsize_t step = first + i;
        for (k = 0; k < o->every; k++)
            iterate(&s);
        bytes = to_stored(o, &s, values);
        times[i] = (double)((step + 1) * o->every);
        if (o->raw)
            write_raw(o->raw, step, values, bytes);
        if (o->at_once) {
            memcpy(all_u + i * field, values, field);
            memcpy(all_v + i * field, values + field, field);
            continue;
        }
        write_steps(o, &out, step, 1, values, values + field, times + i);
        if (o->reopen && i + 1 < o->steps) {
            close_output(&out);
            out = open_output(o);
        }
    }
    if (o->at_once)
        write_steps(o, &out, first, o->steps, all_u, all_v, times);
    for (i = 0; i < 2; i++)
        printf("/%s: %llu bytes for steps up to %llu\n", names[i], (unsigned long long)H5Dget_storage_size(out.field[i]),
               (unsigned long long)(first + o->steps - 1));
    close_output(&out);
    free(values);
    free(times);
    free(all_u);
    free(all_v);
    free(s.now);
    free(s.next);
}

static const char usage[] =
    "usage: gray_scott FILE [options]\n"
    "  --steps N        checkpoints to write (32)\n"
    "  --every K        solver iterations between two checkpoints (10)\n"
    "  --grid NYxNX     grid (64x64)\n"
    "  --chunk T        time steps in a chunk (16)\n"
    "  --bound E        absolute error bound (1e-3); 0: lossless\n"
    "  --relative E     error bound relative to each chunk's value range\n"
    "  --fast           preset fast instead of balanced\n"
    "  --model SHA256   preset learned with this model, which `augur models add` or `augur models embed` put in place\n"
    "  --no-augur       no filter\n"
    "  --double         store 64-bit floats instead of 32-bit ones\n"
    "  --cache BYTES    chunk cache of each dataset (HDF5's default)\n"
    "  --reopen         close and open the file after each step\n"
    "  --restart        go on from the last step in FILE\n"
    "  --rewind STEP    go on from this step in FILE, overwriting those after it\n"
    "  --at-once        write all steps in one call at the end\n"
    "  --raw FILE       also write u and v of each step to a plain binary file\n";

static double number(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end)
        fail("a number was expected; run without arguments for the usage");
    return v;
}

int main(int argc, char **argv)
{
    struct settings o;
    augur_preset_t preset = AUGUR_PRESET_BALANCED;
    const char *model = NULL;
    int i;

    memset(&o, 0, sizeof o);
    o.steps = 32;
    o.every = 10;
    o.ny = o.nx = 64;
    o.chunk = 16;
    o.augur = augur_absolute(1e-3);
    o.cache = o.rewind = -1;
    for (i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        unsigned long long ny, nx;
        if (!strcmp(a, "--steps"))
            o.steps = (hsize_t)number(value), i++;
        else if (!strcmp(a, "--every"))
            o.every = (unsigned)number(value), i++;
        else if (!strcmp(a, "--chunk"))
            o.chunk = (hsize_t)number(value), i++;
        else if (!strcmp(a, "--cache"))
            o.cache = (long long)number(value), i++;
        else if (!strcmp(a, "--rewind"))
            o.rewind = (long long)number(value), o.restart = 1, i++;
        else if (!strcmp(a, "--raw"))
            o.raw = value, i++;
        else if (!strcmp(a, "--bound"))
            o.augur = number(value) == 0.0 ? augur_lossless() : augur_absolute(number(value)), i++;
        else if (!strcmp(a, "--relative"))
            o.augur = augur_relative(number(value)), i++;
        else if (!strcmp(a, "--grid") && sscanf(value, "%llux%llu", &ny, &nx) == 2 && ny > 0 && nx > 0)
            o.ny = ny, o.nx = nx, i++;
        else if (!strcmp(a, "--fast"))
            preset = AUGUR_PRESET_FAST;
        else if (!strcmp(a, "--model"))
            preset = AUGUR_PRESET_LEARNED, model = value, i++;
        else if (!strcmp(a, "--no-augur"))
            o.no_augur = 1;
        else if (!strcmp(a, "--double"))
            o.is_double = 1;
        else if (!strcmp(a, "--reopen"))
            o.reopen = 1;
        else if (!strcmp(a, "--restart"))
            o.restart = 1;
        else if (!strcmp(a, "--at-once"))
            o.at_once = 1;
        else if (a[0] != '-' && !o.file)
            o.file = a;
        else
            o.file = NULL, i = argc;
    }
    if (!o.file || o.steps == 0 || o.chunk == 0) {
        fputs(usage, stderr);
        return 2;
    }
    o.augur.preset = preset;
    if (preset == AUGUR_PRESET_LEARNED)
        augur_set_model(&o.augur, model);
    run(&o);
    return 0;
}
