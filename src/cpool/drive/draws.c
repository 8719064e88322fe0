#include "drive/draws.h"

#include <string.h>

static uint64_t first_of(const cp_pool *pool, int64_t plane, const cp_draw_row *row)
{
    const int64_t *out = pool->out;
    return (uint64_t)(((plane * out[0] + row->d) * out[1] + row->h) * out[2] + row->column);
}

void cp_draws(const cp_engine *engine, const cp_pool *pool, const cp_layout *layout, const cp_draw_row *row,
              int32_t granularity, double *u, int64_t n)
{
    const cp_lane_kernels *kernels = engine->kernels->lane[CP_LANE_f64];
    if (granularity == CPOOL_REGION && row->lanes == 1) {
        int64_t plane = cp_layout_plane(layout, row->outer, row->lane);
        kernels->draw_run(u, pool->params.seed, pool->params.offset, first_of(pool, plane, row), n);
        return;
    }
    memset(u, 0, (size_t)n * sizeof *u);
    for (int64_t l = 0; l < row->lanes && granularity != CPOOL_LAYER; l++) {
        int64_t plane = cp_layout_plane(layout, row->outer, row->lane + l);
        uint64_t first = first_of(pool, plane, row);
        for (int64_t c = 0; c < row->count; c++) {
            uint64_t index = granularity == CPOOL_MAP ? (uint64_t)plane : first + (uint64_t)c;
            memcpy(&u[c * row->lanes + l], &index, sizeof index);
        }
    }
    kernels->draw(u, pool->params.seed, pool->params.offset, n);
}

void cp_draws_float(const cp_engine *engine, const cp_pool *pool, const cp_layout *layout, const cp_draw_row *row,
                    double *scratch, float *u, int64_t n)
{
    const cp_lane_kernels *kernels = engine->kernels->lane[CP_LANE_f64];
    if (row->lanes == 1) {
        int64_t plane = cp_layout_plane(layout, row->outer, row->lane);
        kernels->draw_floats(u, pool->params.seed, pool->params.offset, first_of(pool, plane, row), n);
        return;
    }
    cp_draws(engine, pool, layout, row, CPOOL_REGION, scratch, n);
    kernels->store[CP_DTYPE_f32]((char *)u, scratch, n, sizeof(float), 1, 0);
}
