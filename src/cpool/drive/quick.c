#include "drive/quick.h"

#include "drive/window.h"

static double elements(const cp_pool *pool, const cp_layout *layout)
{
    double all = (double)cp_layout_planes(layout), in = 1, out = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        in *= (double)pool->in[s];
        out *= (double)pool->out[s];
    }
    return all * (in + out);
}

/* Lanes are elements: nothing is converted on the way. */
static int computes_as_stored(const cp_pool *pool)
{
    return cp_stored_as_lanes(pool) && cp_window_lane(pool, pool->axis) == cp_element_lane(pool);
}

int cp_quick_plan(cp_quick *q, const cp_pool *pool, int32_t direction)
{
    if (pool->op->family == CP_SAMPLE) {
        return 0;
    }
    if (cp_wholes_plan(&q->way.wholes, pool, direction)) {
        q->way.wholes.engine = &q->engine;
        q->cost = (cp_cost){q->way.wholes.bytes, 0, elements(pool, &q->way.wholes.layout) * 0.3};
        q->units = q->way.wholes.units;
        q->body = cp_wholes_run;
        return 1;
    }
    if (direction == CPOOL_FORWARD && computes_as_stored(pool) && cp_few_plan(&q->way.few, pool)) {
        q->way.few.engine = &q->engine;
        q->cost = (cp_cost){0, 0, 0};
        q->units = 1;
        q->body = cp_few_run;
        return 1;
    }
    if (direction == CPOOL_FORWARD && cp_strips_plan(&q->way.strips, pool, NULL)) {
        q->way.strips.engine = &q->engine;
        q->cost = (cp_cost){q->way.strips.bytes, 0, elements(pool, &q->way.strips.layout) * 0.3};
        q->units = q->way.strips.units;
        q->body = cp_strips_run;
        return 1;
    }
    if (direction == CPOOL_BACKWARD && (pool->op->family == CP_BEST || pool->op->family == CP_MEAN) &&
        computes_as_stored(pool) && cp_collects_plan(&q->way.collects, pool)) {
        q->way.collects.engine = &q->engine;
        q->cost = (cp_cost){q->way.collects.bytes, 0, elements(pool, &q->way.collects.layout) * 0.4};
        q->units = q->way.collects.units;
        q->body = cp_collects_run;
        return 1;
    }
    if (direction == CPOOL_BACKWARD && cp_shares_plan(&q->way.shares, pool)) {
        cp_strips *strips = &q->way.shares.strips;
        strips->engine = &q->engine;
        q->cost = (cp_cost){strips->bytes, 0, elements(pool, &strips->layout) * 1.0};
        q->units = strips->units;
        q->body = cp_shares_run;
        return 1;
    }
    if (direction == CPOOL_BACKWARD && pool->op->family == CP_BEST) {
        cp_scatters_plan(&q->way.scatters, pool);
        q->way.scatters.engine = &q->engine;
        q->cost = (cp_cost){q->way.scatters.bytes, 0, elements(pool, &q->way.scatters.layout) * 1.0};
        q->units = q->way.scatters.units;
        q->body = cp_scatters_run;
        return 1;
    }
    return 0;
}

cpool_status cp_quick_run(cp_quick *q, const cpool_exec *exec)
{
    return cp_engine_do(&q->engine, exec, q->cost, q->units, q->body, &q->way);
}
