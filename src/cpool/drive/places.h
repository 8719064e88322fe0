/* Where drawn windows begin. */
#ifndef CP_DRIVE_PLACES_H
#define CP_DRIVE_PLACES_H

#include <stddef.h>

#include "plan/pool.h"

/* The same places for all planes (CPOOL_S3): the workspace that they are found in, and of
 * the axes their starts. 0 bytes and nothing for other operators. */
size_t cp_places_bytes_for_all(const cp_pool *pool);
void cp_places_for_all(cp_axis *axis, const cp_pool *pool, char *memory);

/* Places of every plane's own (CPOOL_FRACTIONAL). u: the numbers of the plane in place of draws, or NULL. */
size_t cp_places_bytes_by_plane(const cp_pool *pool);
void cp_places_by_plane(cp_axis *axis, const cp_pool *pool, int64_t plane, const char *u, char *memory);

#endif
