/* Checks the normalization entries of cpool.h as a C program calls them: the worked numbers, the stages of a batch in parts,
 * older and newer callers, and that a call that fails has written nothing.
 *
 *     python tools/run_c_tests.py norm
 *
 * Prints "N passed, 0 failed". */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpool/cpool.h"

static int passed, failed;

static void expect(int good, const char *what)
{
    passed += good != 0;
    failed += good == 0;
    if (!good) {
        printf("FAILED: %s\n", what);
    }
}

static int near(double a, double b)
{
    return fabs(a - b) < 1e-6;
}

static cpool_view view_of(void *data, const int64_t *shape, int32_t ndim)
{
    cpool_view view = {data, shape, NULL, ndim, CPOOL_FLOAT, 64, 1, {0}};
    return view;
}

static cpool_arg arg_of(int32_t role, void *data, const int64_t *shape, int32_t ndim)
{
    cpool_arg arg = {role, 0, view_of(data, shape, ndim)};
    return arg;
}

/* Runs with exactly the workspace that is asked for. */
static cpool_status run(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                        cpool_error *error)
{
    cpool_info info = CPOOL_INFO_INIT;
    cpool_exec exec = CPOOL_EXEC_INIT;
    exec.error = error;
    cpool_status status = cpool_norm_query(params, args, n, direction, 1, &info, error);
    if (status != CPOOL_OK) {
        return status;
    }
    exec.workspace_size = info.workspace_size;
    exec.workspace = malloc(info.workspace_size + 1);
    status =
        direction == CPOOL_FORWARD ? cpool_norm_forward(params, args, n, &exec) : cpool_norm_backward(params, args, n, &exec);
    free(exec.workspace);
    return status;
}

static double X[16] = {1, 2, 5, 3, 4, 0, 1, 2, -1, 3, 2, 2, 0, 6, -2, 4};
static const int64_t X_SHAPE[] = {1, 1, 4, 4}, HALF_SHAPE[] = {1, 1, 2, 4}, C_SHAPE[] = {1}, STATS_SHAPE[] = {3, 1},
                     MOMENTS_SHAPE[] = {4, 1};

static void check_worked_numbers(void)
{
    double y[16], dx[16], dy[16] = {1}, weight = 2, bias = .5, dweight, dbias, stats[3], moments[4];
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    params.op = CPOOL_BATCH_NORM;
    cpool_arg forward[] = {arg_of(CPOOL_X, X, X_SHAPE, 4),
                           arg_of(CPOOL_Y, y, X_SHAPE, 4),
                           arg_of(CPOOL_WEIGHT, &weight, C_SHAPE, 1),
                           arg_of(CPOOL_BIAS, &bias, C_SHAPE, 1),
                           arg_of(CPOOL_STATS, stats, STATS_SHAPE, 2),
                           arg_of(CPOOL_MOMENTS, moments, MOMENTS_SHAPE, 2)};
    expect(run(&params, forward, 6, CPOOL_FORWARD, &error) == CPOOL_OK, error.message);
    expect(near(y[0], -.456182) && near(y[1], .5) && near(y[2], 3.368545) && near(y[3], 1.456182), "y");
    expect(stats[0] == 2 && stats[1] == 0 && near(stats[2], .478091), "stats");
    expect(moments[0] == 16 && moments[1] == 2 && moments[2] == 70 && moments[3] == 0, "moments");
    cpool_arg backward[] = {arg_of(CPOOL_X, X, X_SHAPE, 4),
                            arg_of(CPOOL_GRAD | CPOOL_Y, dy, X_SHAPE, 4),
                            arg_of(CPOOL_STATS, stats, STATS_SHAPE, 2),
                            arg_of(CPOOL_WEIGHT, &weight, C_SHAPE, 1),
                            arg_of(CPOOL_BIAS, &bias, C_SHAPE, 1),
                            arg_of(CPOOL_GRAD | CPOOL_X, dx, X_SHAPE, 4),
                            arg_of(CPOOL_GRAD | CPOOL_WEIGHT, &dweight, C_SHAPE, 1),
                            arg_of(CPOOL_GRAD | CPOOL_BIAS, &dbias, C_SHAPE, 1)};
    expect(run(&params, backward, 8, CPOOL_BACKWARD, &error) == CPOOL_OK, error.message);
    expect(near(dx[0], .882761) && near(dx[1], -.059761) && near(dx[2], -.018782) && near(dx[3], -.046102), "dx");
    expect(dbias == 1 && near(dweight, -.478091), "gradients of parameters");
    params.flags = CPOOL_RELU;
    for (int i = 0; i < 16; i++) {
        dy[i] = 1;
    }
    expect(run(&params, backward, 8, CPOOL_BACKWARD, &error) == CPOOL_OK, error.message);
    expect(near(dx[0], -.420037) && near(dx[1], .358568) && dbias == 10 && near(dweight, 6.215182), "fused ReLU");

    params.op = CPOOL_RMS_NORM;
    params.flags = 0;
    params.rank = 2;
    params.norm_axes[0] = -2;
    params.norm_axes[1] = -1;
    expect(run(&params, forward, 2, CPOOL_FORWARD, &error) == CPOOL_OK, error.message);
    expect(near(y[0], .345547) && near(y[2], 1.727736), "RMS");
}

/* Two halves of a batch, each on its own until moments and sums are exchanged. */
static void check_stages(void)
{
    double y[16], whole[16], dx[16], whole_dx[16], dy[16], stats[3], whole_stats[3], moments[2][4], sums[2][3], total[4];
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    params.op = CPOOL_BATCH_NORM;
    for (int i = 0; i < 16; i++) {
        dy[i] = i * i % 7;
    }
    cpool_arg all[] = {arg_of(CPOOL_X, X, X_SHAPE, 4), arg_of(CPOOL_STATS, whole_stats, STATS_SHAPE, 2),
                       arg_of(CPOOL_Y, whole, X_SHAPE, 4)};
    expect(run(&params, all, 3, CPOOL_FORWARD, &error) == CPOOL_OK, error.message);
    all[2] = arg_of(CPOOL_GRAD | CPOOL_X, whole_dx, X_SHAPE, 4);
    cpool_arg with_dy[] = {all[0], all[1], all[2], arg_of(CPOOL_GRAD | CPOOL_Y, dy, X_SHAPE, 4)};
    expect(run(&params, with_dy, 4, CPOOL_BACKWARD, &error) == CPOOL_OK, error.message);

    for (int half = 0; half < 2; half++) {
        cpool_arg args[] = {arg_of(CPOOL_X, X + 8 * half, HALF_SHAPE, 4),
                            arg_of(CPOOL_MOMENTS, moments[half], MOMENTS_SHAPE, 2)};
        params.stage = CPOOL_STAGE_STATS;
        expect(run(&params, args, 2, CPOOL_FORWARD, &error) == CPOOL_OK, error.message);
    }
    expect(moments[0][0] == 8 && moments[0][1] == 2.25 && moments[0][2] == 19.5, "upper half");
    expect(moments[1][0] == 8 && moments[1][1] == 1.75 && moments[1][2] == 49.5, "lower half");
    cpool_view a = view_of(moments[0], MOMENTS_SHAPE, 2), b = view_of(moments[1], MOMENTS_SHAPE, 2);
    cpool_view out = view_of(total, MOMENTS_SHAPE, 2);
    expect(cpool_moments_merge(&a, &b, &out, &error) == CPOOL_OK, error.message);
    expect(total[0] == 16 && total[1] == 2 && total[2] == 70, "merged");
    for (int half = 0; half < 2; half++) {
        cpool_arg apply[] = {arg_of(CPOOL_X, X + 8 * half, HALF_SHAPE, 4), arg_of(CPOOL_Y, y + 8 * half, HALF_SHAPE, 4),
                             arg_of(CPOOL_MOMENTS, total, MOMENTS_SHAPE, 2), arg_of(CPOOL_STATS, stats, STATS_SHAPE, 2)};
        params.stage = CPOOL_STAGE_APPLY;
        expect(run(&params, apply, 4, CPOOL_FORWARD, &error) == CPOOL_OK, error.message);
        cpool_arg sum[] = {apply[0], arg_of(CPOOL_GRAD | CPOOL_Y, dy + 8 * half, HALF_SHAPE, 4), apply[3],
                           arg_of(CPOOL_SUMS, sums[half], STATS_SHAPE, 2)};
        params.stage = CPOOL_STAGE_SUMS;
        expect(run(&params, sum, 4, CPOOL_BACKWARD, &error) == CPOOL_OK, error.message);
    }
    for (int i = 0; i < 3; i++) {
        sums[0][i] += sums[1][i];
    }
    for (int half = 0; half < 2; half++) {
        cpool_arg apply[] = {arg_of(CPOOL_X, X + 8 * half, HALF_SHAPE, 4),
                             arg_of(CPOOL_GRAD | CPOOL_Y, dy + 8 * half, HALF_SHAPE, 4),
                             arg_of(CPOOL_STATS, stats, STATS_SHAPE, 2), arg_of(CPOOL_SUMS, sums[0], STATS_SHAPE, 2),
                             arg_of(CPOOL_GRAD | CPOOL_X, dx + 8 * half, HALF_SHAPE, 4)};
        params.stage = CPOOL_STAGE_APPLY;
        expect(run(&params, apply, 5, CPOOL_BACKWARD, &error) == CPOOL_OK, error.message);
    }
    int same = 1;
    for (int i = 0; i < 16; i++) {
        same &= fabs(y[i] - whole[i]) < 1e-14 && fabs(dx[i] - whole_dx[i]) < 1e-14;
    }
    expect(same, "a batch in parts is the whole batch");
}

static void check_description(void)
{
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    cpool_shape shape = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    const int64_t x_shape[] = {2, 6, 5};
    cpool_arg x = arg_of(CPOOL_X, NULL, x_shape, 3);
    params.op = CPOOL_GROUP_NORM;
    params.groups = 3;
    expect(cpool_norm_describe(&params, &x, 1, CPOOL_STATS, &shape, &error) == CPOOL_OK && shape.ndim == 3 &&
               shape.shape[0] == 3 && shape.shape[1] == 2 && shape.shape[2] == 3 && shape.dtype_bits == 64,
           "shape of stats");
    expect(cpool_norm_describe(&params, &x, 1, CPOOL_WEIGHT, &shape, &error) == CPOOL_OK && shape.ndim == 1 &&
               shape.shape[0] == 6,
           "shape of weight");
    expect(cpool_norm_describe(&params, &x, 1, CPOOL_MOMENTS, &shape, &error) == CPOOL_INVALID_VALUE, "no moments of groups");
    params.groups = 4;
    expect(cpool_norm_describe(&params, &x, 1, CPOOL_Y, &shape, &error) == CPOOL_INVALID_VALUE &&
               strstr(error.message, "groups=4") != NULL && error.role == CPOOL_X,
           "groups that do not divide");
}

static void check_failures(void)
{
    double y[16], mean = 0, var = -1;
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_exec exec = CPOOL_EXEC_INIT;
    exec.error = &error;
    params.op = CPOOL_BATCH_NORM;
    for (int i = 0; i < 16; i++) {
        y[i] = 7;
    }
    cpool_arg args[] = {arg_of(CPOOL_X, X, X_SHAPE, 4), arg_of(CPOOL_Y, y, X_SHAPE, 4), arg_of(CPOOL_MU, &mean, C_SHAPE, 1),
                        arg_of(CPOOL_VAR, &var, C_SHAPE, 1)};
    expect(run(&params, args, 4, CPOOL_FORWARD, &error) == CPOOL_INVALID_VALUE && error.role == CPOOL_VAR, "negative variance");
    expect(cpool_norm_forward(&params, args, 2, &exec) == CPOOL_NO_MEMORY, "no workspace");
    expect(run(&params, args, 3, CPOOL_FORWARD, &error) == CPOOL_INVALID_VALUE && error.role == CPOOL_VAR,
           "mean without variance");
    expect(cpool_norm_forward(NULL, args, 2, &exec) == CPOOL_INVALID_VALUE, "no parameters");
    expect(cpool_norm_forward(&params, args, 2, NULL) == CPOOL_INVALID_VALUE, "no exec");
    expect(cpool_moments_merge(NULL, NULL, NULL, &error) == CPOOL_INVALID_VALUE, "nothing to merge");
    int untouched = 1;
    for (int i = 0; i < 16; i++) {
        untouched &= y[i] == 7;
    }
    expect(untouched, "a call that fails writes nothing");

    /* A newer caller, whose struct is longer, and an older one that knows op and stage alone. */
    struct {
        cpool_norm_params params;
        int64_t more[2];
    } newer = {CPOOL_NORM_PARAMS_INIT, {0, 0}};
    newer.params.struct_size = sizeof newer;
    newer.params.op = CPOOL_BATCH_NORM;
    var = 1;
    expect(run(&newer.params, args, 4, CPOOL_FORWARD, &error) == CPOOL_OK, "a longer struct of zeros");
    newer.more[1] = 1;
    expect(run(&newer.params, args, 4, CPOOL_FORWARD, &error) == CPOOL_UNSUPPORTED, "a field that is not known");
    cpool_norm_params older = CPOOL_NORM_PARAMS_INIT;
    older.struct_size = offsetof(cpool_norm_params, channel_axis);
    older.op = CPOOL_BATCH_NORM;
    older.eps = -1;
    expect(run(&older, args, 4, CPOOL_FORWARD, &error) == CPOOL_OK, "what an older struct lacks is as in INIT");
}

int main(void)
{
    check_worked_numbers();
    check_stages();
    check_description();
    check_failures();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
