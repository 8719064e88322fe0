#include "plan/layout.h"

#include "integers.h"

static int mergeable(const cp_layout *layout, int32_t dim) /* dim - 1 and dim */
{
    for (int32_t g = 0; g < layout->grids;
         g++) { /* by division: a product of lengths of one and strides of another may overflow */
        const cp_grid *grid = &layout->grid[g];
        int64_t length = layout->length[dim], outer = grid->batch[dim - 1];
        if (grid->item != 0 && (length == 0 || outer % length != 0 || outer / length != grid->batch[dim])) {
            return 0;
        }
    }
    return 1;
}

void cp_layout_make(cp_layout *layout, const cp_pool *pool, const cpool_view *const *views, int keep_channels)
{
    int64_t strides[CP_GRIDS][CPOOL_MAX_NDIM];
    layout->grids = 3;
    for (int32_t g = 0; g < CP_GRIDS; g++) {
        cp_grid *grid = &layout->grid[g];
        grid->item = 0;
        if (views[g] == NULL) {
            continue;
        }
        layout->grids = g < layout->grids ? layout->grids : g + 1;
        cp_view_strides(views[g], strides[g]);
        grid->data = views[g]->data;
        grid->bits = views[g]->dtype_bits;
        grid->item = grid->bits / 8;
        for (int32_t s = 0; s < CP_SPACE; s++) {
            grid->space[s] = pool->space[s] < 0 ? 0 : strides[g][pool->space[s]];
        }
    }
    layout->dims = 0;
    layout->channel = -1;
    for (int32_t i = 0; i < pool->batch_count; i++) {
        int32_t axis = pool->batch[i], dim = layout->dims;
        int is_channel = keep_channels && axis == pool->channel;
        layout->length[dim] = pool->x_shape[axis];
        if (layout->length[dim] == 1 && !is_channel) {
            continue;
        }
        for (int32_t g = 0; g < layout->grids; g++) {
            layout->grid[g].batch[dim] = layout->grid[g].item != 0 ? strides[g][axis] : 0;
        }
        if (is_channel) {
            layout->channel = dim;
        } else if (dim > 0 && mergeable(layout, dim)) {
            layout->length[dim - 1] *= layout->length[dim];
            for (int32_t g = 0; g < layout->grids; g++) {
                layout->grid[g].batch[dim - 1] = layout->grid[g].batch[dim];
            }
            continue;
        }
        layout->dims++;
    }
    layout->lane = -1;
    layout->lanes = 1;
    layout->outer = cp_layout_planes(layout);
}

void cp_layout_choose_lanes(cp_layout *layout, int64_t targets, int64_t few)
{
    enum { FEW_LANES = 8 }; /* below this length vectors of lanes stay partly empty */
    int32_t longest = -1;
    cp_layout_take_pixels(layout, FEW_LANES);
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (longest < 0 || layout->length[dim] > layout->length[longest]) {
            longest = dim;
        }
    }
    if (layout->lane < 0 && targets < few && longest >= 0 && layout->length[longest] > targets) {
        cp_layout_take_lanes(layout, longest);
    }
}

void cp_layout_take_pixels(cp_layout *layout, int64_t least)
{
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->grid[0].batch[dim] == layout->grid[0].item && layout->length[dim] >= least) {
            cp_layout_take_lanes(layout, dim);
        }
    }
}

void cp_layout_take_lanes(cp_layout *layout, int32_t dim)
{
    layout->lane = dim;
    layout->lanes = dim >= 0 ? layout->length[dim] : 1;
    layout->outer = 1;
    for (int32_t other = 0; other < layout->dims; other++) {
        layout->outer *= other == dim ? 1 : layout->length[other];
    }
}

int cp_layout_is_together(const cp_layout *layout, int32_t dim)
{
    for (int g = 0; g < layout->grids; g++) {
        const cp_grid *grid = &layout->grid[g];
        if (grid->item != 0 && grid->batch[dim] != grid->item) {
            return 0;
        }
    }
    return 1;
}

int cp_layout_is_dense(const cp_layout *layout, int64_t lanes)
{
    for (int g = 0; g < layout->grids; g++) {
        const cp_grid *grid = &layout->grid[g];
        if (grid->item != 0 && grid->space[2] != lanes * grid->item) {
            return 0;
        }
    }
    return 1;
}

int64_t cp_layout_run(const cp_layout *layout, int64_t *step)
{
    int32_t inner = layout->dims - 1;
    inner -= inner >= 0 && inner == layout->lane;
    for (int g = 0; g < layout->grids; g++) {
        step[g] = inner >= 0 && layout->grid[g].item != 0 ? layout->grid[g].batch[inner] : 0;
    }
    return inner >= 0 ? layout->length[inner] : 1;
}

int64_t cp_layout_offset(const cp_layout *layout, int32_t g, int64_t index, int64_t *channel)
{
    int64_t offset = 0;
    for (int32_t dim = layout->dims; dim-- > 0;) {
        if (dim == layout->lane) {
            continue;
        }
        int64_t at = cp_take_digit(&index, layout->length[dim]);
        offset += at * layout->grid[g].batch[dim];
        if (dim == layout->channel) {
            *channel = at;
        }
    }
    return offset;
}

int64_t cp_layout_plane(const cp_layout *layout, int64_t index, int64_t lane)
{
    int64_t plane = 0, step = 1;
    for (int32_t dim = layout->dims; dim-- > 0;) {
        int64_t at = dim == layout->lane ? lane : cp_take_digit(&index, layout->length[dim]);
        plane += at * step;
        step *= layout->length[dim];
    }
    return plane;
}

int64_t cp_layout_planes(const cp_layout *layout)
{
    int64_t planes = 1;
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        planes *= layout->length[dim];
    }
    return planes;
}
