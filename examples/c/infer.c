/* Inference on a photograph: cells of bright and of dark features by pooling, batch norm with running statistics, ReLU.
 *
 *     infer photo.pgm features.pgm     # binary PGM, one byte a pixel; the two maps lie above each other
 */
#include "call.h"

enum { CELL = 4, MAPS = 2 };

static float *read_pgm(const char *path, int64_t shape[2])
{
    FILE *file = fopen(path, "rb");
    int width = 0, height = 0, largest = 0;
    if (file == NULL || fscanf(file, "P5 %d %d %d", &width, &height, &largest) != 3 || fgetc(file) == EOF || width < CELL ||
        height < CELL || width > 65536 || height > 65536 || largest != 255) {
        fprintf(stderr, "%s is not a binary PGM of 8 bits that can be read\n", path);
        exit(1);
    }
    const size_t n = (size_t)width * (size_t)height;
    float *pixels = (float *)allocate(n * sizeof *pixels);
    for (size_t i = 0; i < n; i++) {
        int byte = fgetc(file);
        pixels[i] = (float)(byte == EOF ? 0 : byte) / 255.0f;
    }
    fclose(file);
    shape[0] = height;
    shape[1] = width;
    return pixels;
}

static void write_pgm(const char *path, const float *pixels, int64_t height, int64_t width)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(1);
    }
    fprintf(file, "P5\n%d %d\n255\n", (int)width, (int)height);
    for (int64_t i = 0; i < height * width; i++) {
        fputc(pixels[i] >= 1 ? 255 : (int)(pixels[i] * 255.0f), file);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: infer photo.pgm features.pgm\n");
        return 1;
    }
    int64_t photo[2];
    float *x = read_pgm(argv[1], photo);
    const int64_t cells[] = {photo[0] / CELL, photo[1] / CELL}, maps[] = {1, MAPS, cells[0], cells[1]}, channels[] = {MAPS};
    const int64_t n = cells[0] * cells[1];
    float *y = (float *)allocate((size_t)(MAPS * n) * sizeof *y);

    const int32_t ops[MAPS] = {CPOOL_MAX, CPOOL_MIN};
    cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    params.window[0] = params.window[1] = CELL;
    for (int map = 0; map < MAPS; map++) {
        const cpool_arg args[] = {floats(CPOOL_X, x, 2, photo), floats(CPOOL_Y, y + map * n, 2, cells)};
        params.op = ops[map];
        pool(&params, args, 2, CPOOL_FORWARD);
    }

    /* What training would have left: a feature is what is brighter, or darker, than the mean of its map. */
    float weight[MAPS] = {0.5f, -0.5f}, bias[MAPS] = {0, 0}, mean[MAPS] = {0.55f, 0.4f}, variance[MAPS] = {0.09f, 0.07f};
    const cpool_arg args[] = {
        floats(CPOOL_X, y, 4, maps),
        floats(CPOOL_Y, y, 4, maps), /* in place */
        floats(CPOOL_MU, mean, 1, channels),
        floats(CPOOL_VAR, variance, 1, channels),
        floats(CPOOL_WEIGHT, weight, 1, channels),
        floats(CPOOL_BIAS, bias, 1, channels),
    };
    cpool_norm_params batch_norm = CPOOL_NORM_PARAMS_INIT;
    batch_norm.op = CPOOL_BATCH_NORM;
    batch_norm.flags = CPOOL_RELU;
    norm(&batch_norm, args, 6, CPOOL_FORWARD);

    write_pgm(argv[2], y, MAPS * cells[0], cells[1]);
    for (int map = 0; map < MAPS; map++) {
        int64_t active = 0;
        for (int64_t i = 0; i < n; i++) {
            active += y[map * n + i] > 0;
        }
        printf("%s: %d of %d cells\n", map == 0 ? "bright" : "dark", (int)active, (int)n);
    }
    free(x);
    free(y);
    return 0;
}
