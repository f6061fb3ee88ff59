/* A C program that writes and reads through the plugin; hosts.rs builds it with a shared and with a static
 * libhdf5. Usage: host MODE FILE. Every mode prints one line of results; exit status 1: HDF5 failed. */
#include "hdf5.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AUGUR 49493
#define T 20
#define Y 30
#define X 40
#define CHUNK 8
static const double bound = 1e-3;
static float field[T][Y][X], back[T][Y][X];

static void check(int ok, const char *what) {
    if (!ok) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

/* A creation property list with chunks of `chunk` steps and Augur after `n` other filters. */
static hid_t properties(hsize_t chunk, int n, const int *before) {
    unsigned words[4] = {1, 1};
    hsize_t shape[3] = {chunk, Y, X};
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    memcpy(words + 2, &bound, sizeof bound);
    check(H5Pset_chunk(p, 3, shape) >= 0, "H5Pset_chunk");
    for (int i = 0; i < n; i++)
        check(H5Pset_filter(p, before[i], 0, 0, NULL) >= 0, "H5Pset_filter, another");
    check(H5Pset_filter(p, AUGUR, H5Z_FLAG_MANDATORY, 4, words) >= 0, "H5Pset_filter");
    return p;
}

static hid_t create(hid_t file, const char *name, hid_t type, hid_t p, hsize_t most_steps) {
    hsize_t dims[3] = {T, Y, X}, most[3] = {most_steps, Y, X};
    hid_t space = H5Screate_simple(3, dims, most);
    hid_t d = H5Dcreate2(file, name, type, space, H5P_DEFAULT, p, H5P_DEFAULT);
    H5Sclose(space);
    return d;
}

static void write_field(const char *path, int n, const int *before, hsize_t most_steps) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t d = create(file, "x", H5T_IEEE_F32LE, properties(CHUNK, n, before), most_steps);
    check(d >= 0, "H5Dcreate2");
    check(H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, field) >= 0, "H5Dwrite");
    check(H5Dclose(d) >= 0 && H5Fclose(file) >= 0, "close");
}

/* Prints: largest error over bound, number of Augur's words, its first word, bytes in the file. */
static void read_field(const char *path) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(file, "x", H5P_DEFAULT);
    check(d >= 0 && H5Dread(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) >= 0, "H5Dread");
    double worst = 0;
    for (int i = 0; i < T * Y * X; i++) {
        double e = fabs((double)(&back[0][0][0])[i] - (&field[0][0][0])[i]) / bound;
        if (!(e <= worst))
            worst = e;
    }
    unsigned flags, words[16] = {0};
    size_t n = 16;
    check(H5Pget_filter_by_id2(H5Dget_create_plist(d), AUGUR, &flags, &n, words, 0, NULL, NULL) >= 0, "words");
    printf("%g %d %u %llu\n", worst, (int)n, words[0], (unsigned long long)H5Dget_storage_size(d));
}

/* Tries types that Augur cannot code; prints how many were accepted. */
static void refused(const char *path) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t bfloat = H5Tcopy(H5T_IEEE_F32LE), odd = H5Tcopy(H5T_STD_I32LE), string = H5Tcopy(H5T_C_S1);
    H5Tset_fields(bfloat, 15, 7, 8, 0, 7);
    H5Tset_precision(bfloat, 16);
    H5Tset_size(bfloat, 2);
    H5Tset_precision(odd, 17);
    H5Tset_size(string, 8);
    hsize_t three = 3;
    hid_t compound = H5Tcreate(H5T_COMPOUND, 8), types[] = {
        H5T_STD_I64LE, H5T_STD_U64BE, bfloat, odd, string, compound, H5Tarray_create2(H5T_IEEE_F32LE, 1, &three),
        H5T_STD_B8LE, H5Tcreate(H5T_OPAQUE, 4), H5T_NATIVE_LDOUBLE, H5Tvlen_create(H5T_IEEE_F32LE),
    };
    H5Tinsert(compound, "a", 0, H5T_IEEE_F32LE);
    int accepted = 0, count = sizeof types / sizeof *types;
    for (int i = 0; i < count; i++) {
        char name[8];
        snprintf(name, sizeof name, "d%d", i);
        accepted += create(file, name, types[i], properties(CHUNK, 0, NULL), T) >= 0;
    }
    printf("%d of %d accepted\n", accepted, count);
}

/* Puts a chunk of one dataset into another with other chunks, without the filter; reading must fail. */
static void foreign(const char *path) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t a = create(file, "a", H5T_IEEE_F32LE, properties(CHUNK, 0, NULL), T);
    hid_t b = create(file, "b", H5T_IEEE_F32LE, properties(2 * CHUNK, 0, NULL), T);
    static char stream[1 << 20];
    hsize_t at[3] = {0, 0, 0}, size = 0;
    uint32_t mask = 0;
    check(H5Dwrite(a, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, field) >= 0, "H5Dwrite");
    check(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0 && H5Dget_chunk_storage_size(a, at, &size) >= 0, "size");
    check(H5Dread_chunk(a, H5P_DEFAULT, at, &mask, stream) >= 0, "H5Dread_chunk");
    check(H5Dwrite_chunk(b, H5P_DEFAULT, 0, at, size, stream) >= 0, "H5Dwrite_chunk");
    int status = H5Dread(b, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back);
    printf("%s\n", status < 0 ? "refused" : "read");
}

/* Writes before and after a fork, in parent and child, with several threads. */
static void forked(const char *path) {
    char other[4096];
    snprintf(other, sizeof other, "%s.child", path);
    write_field(path, 0, NULL, T);
    pid_t child = fork();
    if (child == 0) {
        write_field(other, 0, NULL, T);
        read_field(other);
        exit(0);
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the child");
    write_field(path, 0, NULL, T);
    read_field(path);
}

int main(int argc, char **argv) {
    const int shuffle = H5Z_FILTER_SHUFFLE, both[] = {H5Z_FILTER_FLETCHER32, H5Z_FILTER_SHUFFLE};
    check(argc == 3, "usage: host MODE FILE");
    for (int i = 0; i < T * Y * X; i++)
        (&field[0][0][0])[i] = sinf(0.05f * (i % X) + 0.2f * (i / (X * Y))) + cosf(0.1f * (i / X % Y));
    if (!strcmp(argv[1], "write"))
        write_field(argv[2], 0, NULL, T);
    else if (!strcmp(argv[1], "growing"))
        write_field(argv[2], 0, NULL, H5S_UNLIMITED);
    else if (!strcmp(argv[1], "shuffled"))
        write_field(argv[2], 1, &shuffle, T);
    else if (!strcmp(argv[1], "checksummed"))
        write_field(argv[2], 2, both, T);
    else if (!strcmp(argv[1], "refused"))
        return refused(argv[2]), 0;
    else if (!strcmp(argv[1], "foreign"))
        return foreign(argv[2]), 0;
    else if (!strcmp(argv[1], "forked"))
        return forked(argv[2]), 0;
    read_field(argv[2]);
    return 0;
}
