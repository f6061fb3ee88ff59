/*
 * augur_h5.h - Augur for C and C++ programs that write HDF5
 *
 * Header only: nothing of Augur is needed to compile or link. At run time HDF5 itself loads the plugin
 * libh5z_augur.so from HDF5_PLUGIN_PATH (or from its default plugin folder).
 *
 *     #include <hdf5.h>
 *     #include "augur_h5.h"
 *
 *     augur_options_t options = augur_absolute(1e-3);       // |x - x'| <= 1e-3 at every point
 *     H5Pset_chunk(dcpl, 3, (hsize_t[]){16, ny, nx});       // 16 time steps in a chunk
 *     if (H5Pset_augur(dcpl, &options) < 0) ...             // the reason is on the HDF5 error stack
 *
 * A program that opens an existing dataset only to write calls H5augur_available() once before it does: HDF5
 * loads plugins when a dataset is created or read, but not when one is written, and would store the chunks
 * uncompressed.
 *
 * Source compatible with HDF5 1.8.11 to 2.x, C99 and C++.
 *
 * Licence: MIT OR Apache-2.0
 */
#ifndef AUGUR_H5_H
#define AUGUR_H5_H

#include <hdf5.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Number of the filter, from the range for private use until The HDF Group assigns one. */
#define AUGUR_H5_FILTER_ID ((H5Z_filter_t)49493)

/** Version of the cd_values layout that this header writes. */
#define AUGUR_H5_LAYOUT_VERSION 1u

/** Most cd_values that augur_cd_values() fills. */
#define AUGUR_H5_CD_VALUES 10

/** Attribute with which a dataset names its model. */
#define AUGUR_H5_MODEL_ATTRIBUTE "augur_model"

/** What an error bound means. */
typedef enum augur_bound_t {
    AUGUR_BOUND_LOSSLESS = 0,           /**< nothing is lost */
    AUGUR_BOUND_ABSOLUTE = 1,           /**< |x - x'| <= bound, in the unit of the data */
    AUGUR_BOUND_RELATIVE = 2,           /**< |x - x'| <= bound * range; range: second, or the chunk's own when that is 0 */
    AUGUR_BOUND_ABSREL = 3,             /**< |x - x'| <= the smaller of bound and second * the chunk's value range */
    AUGUR_BOUND_POINTWISE_RELATIVE = 4, /**< |x - x'| <= bound * |x|; exact where |x| < second */
    AUGUR_BOUND_PSNR = 5                /**< peak signal-to-noise ratio of each chunk at least bound dB */
} augur_bound_t;

/** How hard to compress. */
typedef enum augur_preset_t {
    AUGUR_PRESET_BALANCED = 0, /**< prediction over space and time, fitted to each chunk */
    AUGUR_PRESET_FAST = 1,     /**< faster, somewhat larger */
    AUGUR_PRESET_LOSSLESS = 2, /**< nothing is lost, whatever the bound */
    AUGUR_PRESET_LEARNED = 3,  /**< as balanced, with what a trained model adds; see augur_set_model() */
    AUGUR_PRESET_TEZIP = 4,    /**< TEZip's method: predicted by a model or the frame before alone; see augur_set_windows() */
    AUGUR_PRESET_TEZIP_PLUS = 5, /**< as learned, for models that remember what they saw (PredNet, ConvLSTM) */
    AUGUR_PRESET_AE_SZ = 6,      /**< AE-SZ's method: each block by its mean, a plane, Lorenzo's predictor or an autoencoder */
    AUGUR_PRESET_AE_SZ_PLUS = 7, /**< as balanced, with what an autoencoder makes of each frame */
    AUGUR_PRESET_CAE = 8         /**< as ae-sz, with a fully connected autoencoder of runs of values */
} augur_preset_t;

/** What Augur is asked to do with a dataset. Start from one of the functions below, then change fields. */
typedef struct augur_options_t {
    augur_bound_t mode;    /**< what the bound means */
    double bound;          /**< first parameter of the bound; see augur_bound_t */
    double second;         /**< second parameter of the bound; 0 where the mode has none */
    augur_preset_t preset; /**< how hard to compress */
    unsigned time_axis;    /**< which of the dataset's axes is time, counted from 0 (the slowest); at most 15 */
    int mandatory;         /**< 0: HDF5 may store a chunk uncompressed when the plugin is missing in a writing
                                process, so that no data are lost. 1: such a write fails; HDF5 releases up to
                                2.2 can crash and leave an unreadable file when that happens as a file is closed */
    int has_fill;          /**< 1: fill says which value marks missing points; 0: the dataset's own fill value does */
    double fill;           /**< that value, as the dataset's type holds it; see augur_set_fill() */
    const char *model;     /**< presets from learned on: SHA-256 of the model, 64 hexadecimal digits, also after
                                "sha256:" or "/_augur/models/"; NULL: the dataset's attribute names it. Only read by the
                                calls that take the options */
    int strict;            /**< 1: H5Dcreate fails when the model is not found; 0: chunks are then stored as with
                                preset balanced (tezip: predicted by the frame before; ae-sz, cae: without an
                                autoencoder), and a warning says so */
    unsigned window;       /**< preset tezip: a key frame every so many time steps of a chunk, 2 to 127; 0: not so */
    double threshold;      /**< preset tezip: a key frame where the mean squared error of the predictions since the last
                                one exceeds this share of the chunk's squared value range, 2^-31 to 1, rounded to a
                                power of 2 to a quarter; 0: not so */
    unsigned warm_up;      /**< preset tezip: time steps at the start of a chunk that are key frames, at most 7; 0: one */
    int open_loop;         /**< preset tezip: 1: forecasts are made from forecasts until the next key frame, as TEZip
                                does it; 0: from what was decoded */
    int by_distance;       /**< presets ae-sz and cae: 1: the prediction of a block is chosen by the sum of its absolute
                                differences, as AE-SZ does it; 0: by the bits that it takes */
} augur_options_t;

/** Initialiser for a declaration: lossless, preset balanced, time is the first axis. */
#define AUGUR_OPTIONS_DEFAULT \
    { AUGUR_BOUND_LOSSLESS, 0.0, 0.0, AUGUR_PRESET_BALANCED, 0, 0, 0, 0.0, NULL, 0, 0, 0.0, 0, 0, 0 }

/** Options with a bound of any mode; the functions below are shorter. */
static inline augur_options_t augur_options(augur_bound_t mode, double bound, double second)
{
    augur_options_t options = AUGUR_OPTIONS_DEFAULT;
    options.mode = mode;
    options.bound = bound;
    options.second = second;
    return options;
}

/** Nothing is lost. */
static inline augur_options_t augur_lossless(void)
{
    return augur_options(AUGUR_BOUND_LOSSLESS, 0.0, 0.0);
}

/** |x - x'| <= bound at every point. For integers the bound is in counts; below 1 nothing is lost. */
static inline augur_options_t augur_absolute(double bound)
{
    return augur_options(AUGUR_BOUND_ABSOLUTE, bound, 0.0);
}

/** |x - x'| <= bound * (largest - smallest value of the chunk). */
static inline augur_options_t augur_relative(double bound)
{
    return augur_options(AUGUR_BOUND_RELATIVE, bound, 0.0);
}

/** |x - x'| <= bound * range, with one value range for all chunks. */
static inline augur_options_t augur_relative_to(double bound, double range)
{
    return augur_options(AUGUR_BOUND_RELATIVE, bound, range);
}

/** |x - x'| <= the smaller of absolute and relative * (largest - smallest value of the chunk). */
static inline augur_options_t augur_absrel(double absolute, double relative)
{
    return augur_options(AUGUR_BOUND_ABSREL, absolute, relative);
}

/** |x - x'| <= bound * |x|, sign and zero kept; values with |x| < floor are exact. */
static inline augur_options_t augur_pointwise_relative(double bound, double floor)
{
    return augur_options(AUGUR_BOUND_POINTWISE_RELATIVE, bound, floor);
}

/** Peak signal-to-noise ratio of at least db (1 to 1000) in each chunk. */
static inline augur_options_t augur_psnr(double db)
{
    return augur_options(AUGUR_BOUND_PSNR, db, 0.0);
}

/**
 * Says which value marks missing points: those are kept exactly and stay out of value ranges. Needed only when it is not the
 * dataset's own fill value (H5Pset_fill_value), which Augur knows. It is cast to the dataset's type; H5Dcreate refuses one
 * that the type cannot hold. Cannot be combined with a bound that has a second parameter.
 */
static inline void augur_set_fill(augur_options_t *options, double value)
{
    options->has_fill = 1;
    options->fill = value;
}

/**
 * Predicts with a trained model (preset learned, unless it is another one for models already). `digest` is its name, the SHA-256
 * of its file, which `augur models` prints; the options keep the pointer, not a copy. NULL: the model that the dataset's
 * attribute names, see H5augur_set_model_attribute(). The filter must find the model when chunks are written and when
 * they are read: in the HDF5 file (`augur models embed`), in a folder of AUGUR_MODEL_PATH, or in the user's store (`augur
 * models add`).
 */
static inline void augur_set_model(augur_options_t *options, const char *digest)
{
    if (options->preset < AUGUR_PRESET_LEARNED)
        options->preset = AUGUR_PRESET_LEARNED;
    options->model = digest;
}

/**
 * Predicts as TEZip does (preset tezip), with key frames every `window` time steps of a chunk (2 to 127), or where the mean
 * squared error of the predictions since the last one exceeds `threshold` times the squared value range of the chunk
 * (2^-31 to 1); one of both is 0, or both: only the first time step is a key frame. `warm_up` time steps at the start are
 * key frames in any case (at most 7; 0 counts as 1). With `open_loop` forecasts are made from forecasts until the next key
 * frame, otherwise from what was decoded. For a model call augur_set_model() as well; without one each frame is predicted
 * by the one before.
 */
static inline void augur_set_windows(augur_options_t *options, unsigned window, double threshold, unsigned warm_up,
                                     int open_loop)
{
    options->preset = AUGUR_PRESET_TEZIP;
    options->window = window;
    options->threshold = threshold;
    options->warm_up = warm_up;
    options->open_loop = open_loop;
}

/** Puts `message` on the HDF5 error stack; with `print` the stack goes to the program's error printer too. */
static inline herr_t augur_h5_fail_(hid_t minor, unsigned line, int print, const char *message)
{
    unsigned is_v2 = 0;
    H5E_auto2_t printer = NULL;
    void *client = NULL;

    /* H5Eauto_is_v2 clears the stack, so the printer is looked up before anything is pushed. */
    if (print && (H5Eauto_is_v2(H5E_DEFAULT, &is_v2) < 0 || !is_v2 ||
                  H5Eget_auto2(H5E_DEFAULT, &printer, &client) < 0))
        printer = NULL;
    H5Epush2(H5E_DEFAULT, "augur_h5.h", "H5Pset_augur", line, H5E_ERR_CLS, H5E_PLINE, minor, "%s", message);
    if (printer)
        (void)printer(H5E_DEFAULT, client);
    return -1;
}

/** Bits of a double as two 32-bit words, the low one first, whatever the machine's byte order. */
static inline void augur_h5_put_double_(unsigned words[2], double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    words[0] = (unsigned)(bits & 0xffffffffu);
    words[1] = (unsigned)(bits >> 32);
}

/** Whether v is finite and greater than 0; NaN is not. */
static inline int augur_h5_positive_(double v)
{
    return v > 0.0 && v <= 1.7976931348623157e308;
}

/** Value of a hexadecimal digit, or -1. */
static inline int augur_h5_digit_(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/** Reads the first 128 bits of a SHA-256 in hexadecimal into four words, the first byte lowest; -1 when it is none. */
static inline int augur_h5_digest_(const char *text, unsigned words[4])
{
    static const char *const before[2] = {"sha256:", "/_augur/models/"};
    unsigned out[4] = {0, 0, 0, 0};
    int i, high, low;

    for (i = 0; i < 2; i++)
        if (strncmp(text, before[i], strlen(before[i])) == 0) {
            text += strlen(before[i]);
            break;
        }
    if (strlen(text) != 64)
        return -1;
    for (i = 0; i < 32; i++) {
        high = augur_h5_digit_(text[2 * i]);
        low = augur_h5_digit_(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        if (i < 16)
            out[i / 4] |= (unsigned)(high << 4 | low) << (8 * (i % 4));
    }
    memcpy(words, out, sizeof out);
    return 0;
}

/** Whether models help the preset. */
static inline int augur_h5_uses_model_(int preset)
{
    return preset >= AUGUR_PRESET_LEARNED && preset <= AUGUR_PRESET_CAE;
}

/** The number k for which 2^(-k/4) is nearest to a threshold of 2^-31 to 1 (without log2, which is in libm). */
static inline unsigned augur_h5_quarters_(double threshold)
{
    unsigned k = 0;

    for (; threshold <= 0.54525386633262883; k += 4) /* 2^(-7/8) */
        threshold *= 2.0;
    if (threshold <= 0.91700404320467122) /* 2^(-1/8) */
        k++;
    if (threshold <= 0.77110541270397037) /* 2^(-3/8) */
        k++;
    return threshold <= 0.64841977732550483 ? k + 1 : k; /* 2^(-5/8) */
}

/** Says in `text` what is wrong with the windows and returns -1, or returns 0. */
static inline int augur_h5_check_windows_(const augur_options_t *o, char *text, size_t size)
{
    const char *given;

    if (o->window != 0 && (o->window < 2 || o->window > 127)) {
        snprintf(text, size, "a key frame every %u time steps was asked for, expected 2 to 127 (or 0: the first only)",
                 o->window);
        return -1;
    }
    if (!(o->threshold == 0.0 || (o->threshold >= 1.0 / 2147483648.0 && o->threshold <= 1.0))) {
        snprintf(text, size,
                 "the threshold of key frames is %g, expected 2^-31 to 1 of the squared value range (or 0: none)",
                 o->threshold);
        return -1;
    }
    if (o->window != 0 && o->threshold != 0.0) {
        snprintf(text, size, "a window (%u) and a threshold (%g) both say where key frames are; set one of them to 0",
                 o->window, o->threshold);
        return -1;
    }
    if (o->warm_up > 7) {
        snprintf(text, size, "a warm-up of %u time steps was asked for, expected at most 7", o->warm_up);
        return -1;
    }
    given = o->window != 0      ? "a window"
            : o->threshold != 0 ? "a threshold"
            : o->warm_up != 0   ? "a warm-up"
            : o->open_loop      ? "an open loop"
                                : NULL;
    if (given != NULL && o->preset != AUGUR_PRESET_TEZIP) {
        snprintf(text, size, "%s was given, but preset %d has no key frames; expected AUGUR_PRESET_TEZIP (4)", given,
                 (int)o->preset);
        return -1;
    }
    return 0;
}

/** Says in `text` what is wrong with the options and returns -1, or returns 0. */
static inline int augur_h5_check_(const augur_options_t *o, char *text, size_t size)
{
    const char *first = "bound";
    unsigned digest[4];

    switch ((int)o->mode) {
    case AUGUR_BOUND_LOSSLESS:
        break;
    case AUGUR_BOUND_PSNR:
        if (!(o->bound >= 1.0 && o->bound <= 1000.0)) {
            snprintf(text, size, "the target PSNR is %g dB, it must lie between 1 and 1000", o->bound);
            return -1;
        }
        break;
    case AUGUR_BOUND_ABSOLUTE:
    case AUGUR_BOUND_RELATIVE:
    case AUGUR_BOUND_ABSREL:
    case AUGUR_BOUND_POINTWISE_RELATIVE:
        if (o->mode == AUGUR_BOUND_ABSOLUTE || o->mode == AUGUR_BOUND_ABSREL)
            first = "absolute bound";
        else if (o->mode == AUGUR_BOUND_RELATIVE)
            first = "relative bound";
        else
            first = "pointwise relative bound";
        if (!augur_h5_positive_(o->bound)) {
            snprintf(text, size, "the %s is %g, it must be finite and greater than 0%s", first, o->bound,
                     o->bound == 0.0 ? "; ask for augur_lossless() instead" : "");
            return -1;
        }
        if (o->mode == AUGUR_BOUND_ABSREL && !augur_h5_positive_(o->second)) {
            snprintf(text, size, "the relative bound is %g, it must be finite and greater than 0", o->second);
            return -1;
        }
        if (o->mode == AUGUR_BOUND_RELATIVE && o->second != 0.0 && !augur_h5_positive_(o->second)) {
            snprintf(text, size,
                     "the value range of the relative bound is %g, it must be finite and greater than 0 (or 0: "
                     "each chunk's own)",
                     o->second);
            return -1;
        }
        if (o->mode == AUGUR_BOUND_POINTWISE_RELATIVE && o->bound >= 1.0) {
            snprintf(text, size, "the pointwise relative bound is %g, it must be below 1 to keep the sign",
                     o->bound);
            return -1;
        }
        if (o->mode == AUGUR_BOUND_POINTWISE_RELATIVE && o->second != 0.0 && !augur_h5_positive_(o->second)) {
            snprintf(text, size,
                     "the floor of the pointwise relative bound is %g, it must be finite and at least 0", o->second);
            return -1;
        }
        break;
    default:
        snprintf(text, size, "bound mode %d is unknown, expected AUGUR_BOUND_LOSSLESS (0) to AUGUR_BOUND_PSNR (5)",
                 (int)o->mode);
        return -1;
    }
    if ((o->mode == AUGUR_BOUND_LOSSLESS || o->mode == AUGUR_BOUND_ABSOLUTE || o->mode == AUGUR_BOUND_PSNR) &&
        !(o->second == 0.0)) {
        snprintf(text, size, "the second parameter is %g, but bound mode %d has none; set it to 0", o->second,
                 (int)o->mode);
        return -1;
    }
    if ((int)o->preset < AUGUR_PRESET_BALANCED || (int)o->preset > AUGUR_PRESET_CAE) {
        snprintf(text, size,
                 "preset %d is unknown, expected AUGUR_PRESET_BALANCED (0), _FAST (1), _LOSSLESS (2), _LEARNED (3), "
                 "_TEZIP (4), _TEZIP_PLUS (5), _AE_SZ (6), _AE_SZ_PLUS (7) or _CAE (8)",
                 (int)o->preset);
        return -1;
    }
    if (o->by_distance && o->preset != AUGUR_PRESET_AE_SZ && o->preset != AUGUR_PRESET_CAE) {
        snprintf(text, size,
                 "selection by distance was given, but preset %d has no blocks; expected AUGUR_PRESET_AE_SZ (6) or _CAE (8)",
                 (int)o->preset);
        return -1;
    }
    if (!augur_h5_uses_model_((int)o->preset) && (o->model != NULL || o->strict)) {
        snprintf(text, size,
                 "%s was given, but preset %d uses no model; expected AUGUR_PRESET_LEARNED (3), _TEZIP (4), "
                 "_TEZIP_PLUS (5), _AE_SZ (6), _AE_SZ_PLUS (7) or _CAE (8)",
                 o->model != NULL ? "a model" : "strict", (int)o->preset);
        return -1;
    }
    if (o->model != NULL && augur_h5_digest_(o->model, digest) < 0) {
        snprintf(text, size, "the model \"%.100s\" is no SHA-256, expected 64 hexadecimal digits (see augur models list)",
                 o->model);
        return -1;
    }
    if (augur_h5_check_windows_(o, text, size) < 0)
        return -1;
    if (o->time_axis > 15) {
        snprintf(text, size, "the time axis is %u, it must be at most 15 (axes count from 0, the slowest)",
                 o->time_axis);
        return -1;
    }
    if (o->has_fill && o->second != 0.0) {
        snprintf(text, size,
                 "a fill value was given beside a bound with a second parameter (%g), and only one of both fits; "
                 "declare the fill value with H5Pset_fill_value instead",
                 o->second);
        return -1;
    }
    return 0;
}

/**
 * The filter's parameters for the options, for programs that call H5Pset_filter or print a command line themselves.
 * Returns 0 and fills `words`, or returns -1 and says in `text` (of `size` bytes) what is wrong.
 */
static inline int augur_cd_values(const augur_options_t *options, unsigned words[AUGUR_H5_CD_VALUES], char *text,
                                  size_t size)
{
    if (augur_h5_check_(options, text, size) < 0)
        return -1;
    words[0] = AUGUR_H5_LAYOUT_VERSION | (unsigned)options->preset << 8;
    words[0] |= options->warm_up << 27 | (options->open_loop || options->by_distance ? 1u << 30 : 0);
    words[1] = (unsigned)options->mode | options->time_axis << 20 | options->window << 24;
    if (options->threshold != 0.0)
        words[1] |= (128 + augur_h5_quarters_(options->threshold)) << 24;
    augur_h5_put_double_(words + 2, options->mode == AUGUR_BOUND_LOSSLESS ? 0.0 : options->bound);
    augur_h5_put_double_(words + 4, options->second);
    if (options->has_fill) {
        words[0] |= 1u << 17; /* words 4 and 5 hold the user's fill value */
        augur_h5_put_double_(words + 4, options->fill);
    }
    if (options->strict)
        words[0] |= 1u << 26; /* no dataset without the model */
    memset(words + 6, 0, 4 * sizeof words[0]);
    if (options->model != NULL)
        (void)augur_h5_digest_(options->model, words + 6);
    return 0;
}

/**
 * Whether HDF5 finds the plugin: 1 yes, 0 no, negative on failure. Loads it when it was not loaded yet, so call it once
 * in a program that opens existing datasets only to write.
 */
static inline htri_t H5augur_available(void)
{
    return H5Zfilter_avail(AUGUR_H5_FILTER_ID);
}

/**
 * Asks for Augur in a dataset creation property list, in addition to the filters that are there (before it a shuffle is
 * of no use, after it a checksum with H5Pset_fletcher32 is fine); a second call replaces the options of the first. The
 * dataset must be chunked, with several time steps in a chunk.
 *
 * Returns a negative value when the options are not valid, when HDF5 does not find the plugin, or when `dcpl` is not a
 * dataset creation property list. The reason is then on the HDF5 error stack and, unless the program switched that off with
 * H5Eset_auto, on stderr. What can only be judged with the dataset at hand (its type, its rank) H5Dcreate refuses.
 */
static inline herr_t H5Pset_augur(hid_t dcpl, const augur_options_t *options)
{
    unsigned words[AUGUR_H5_CD_VALUES];
    char text[640], reason[512];
    const char *path;
    unsigned flags;
    size_t count;
    htri_t found;
    int i, n;

    H5Eclear2(H5E_DEFAULT);
    if (options == NULL)
        return augur_h5_fail_(H5E_BADVALUE, __LINE__, 1, "augur: no options were given (NULL)");
    if (augur_cd_values(options, words, reason, sizeof reason) < 0) {
        snprintf(text, sizeof text, "augur: %s", reason);
        return augur_h5_fail_(H5E_BADVALUE, __LINE__, 1, text);
    }
    found = H5augur_available();
    if (found <= 0) {
        path = getenv("HDF5_PLUGIN_PATH");
        snprintf(text, sizeof text,
                 "augur: HDF5 does not find filter %d. Before the program starts, set HDF5_PLUGIN_PATH to the folder "
                 "that holds libh5z_augur.so (%s%.300s)",
                 (int)AUGUR_H5_FILTER_ID, path ? "now it is " : "now it is not set", path ? path : "");
        return augur_h5_fail_(H5E_NOFILTER, __LINE__, 1, text);
    }
    flags = options->mandatory ? H5Z_FLAG_MANDATORY : H5Z_FLAG_OPTIONAL;
    count = options->model != NULL ? AUGUR_H5_CD_VALUES : 6; /* words that are left out count as 0 */

    n = H5Pget_nfilters(dcpl);
    if (n < 0)
        return augur_h5_fail_(H5E_BADTYPE, __LINE__, 0, "augur: the first argument is no dataset creation property list");
    for (i = 0; i < n; i++) {
        size_t none = 0;
        unsigned old_flags = 0, config = 0;
        char name[8];
        if (H5Pget_filter2(dcpl, (unsigned)i, &old_flags, &none, NULL, sizeof name, name, &config) ==
            AUGUR_H5_FILTER_ID) {
            if (H5Pmodify_filter(dcpl, AUGUR_H5_FILTER_ID, flags, count, words) < 0)
                return augur_h5_fail_(H5E_CANTSET, __LINE__, 0, "augur: the filter's options could not be changed");
            return 0;
        }
    }
    if (H5Pset_filter(dcpl, AUGUR_H5_FILTER_ID, flags, count, words) < 0)
        return augur_h5_fail_(H5E_CANTSET, __LINE__, 0, "augur: the filter could not be added to the pipeline");
    return 0;
}

/**
 * Gives a dataset the attribute that names its model, in place of one that it has: chunks that are written from then on
 * with a preset that uses models and without one in the options use it. `model` is "sha256:" and 64 hexadecimal digits,
 * the path of a model in the HDF5 file ("/_augur/models/" and the digits), or the path of a model file, relative to the
 * HDF5 file.
 *
 * Call it right after H5Dcreate: a chunk that is written before is stored as with preset balanced. Reading does not need
 * the attribute, since every chunk names its model itself.
 *
 * Returns a negative value when HDF5 refuses; the reason is on the HDF5 error stack.
 */
static inline herr_t H5augur_set_model_attribute(hid_t dataset, const char *model)
{
    hid_t type = -1, space = -1, attribute = -1;
    herr_t status = -1;
    htri_t there;

    if (model == NULL || model[0] == '\0') {
        H5Eclear2(H5E_DEFAULT);
        return augur_h5_fail_(H5E_BADVALUE, __LINE__, 1, "augur: no model was named");
    }
    there = H5Aexists(dataset, AUGUR_H5_MODEL_ATTRIBUTE);
    if (there < 0 || (there > 0 && H5Adelete(dataset, AUGUR_H5_MODEL_ATTRIBUTE) < 0))
        return -1;
    type = H5Tcopy(H5T_C_S1);
    space = H5Screate(H5S_SCALAR);
    if (type >= 0 && space >= 0 && H5Tset_size(type, strlen(model)) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0)
        attribute = H5Acreate2(dataset, AUGUR_H5_MODEL_ATTRIBUTE, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0) {
        status = H5Awrite(attribute, type, model);
        if (H5Aclose(attribute) < 0)
            status = -1;
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return status;
}

#ifdef __cplusplus
}
#endif

#endif /* AUGUR_H5_H */
