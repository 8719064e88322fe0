/* The states of folds: how many rows, and what an absent tap is, row by row. */
#ifndef CP_KERNELS_IDENTITY_H
#define CP_KERNELS_IDENTITY_H

#include "kernels/table.h"
#include "kernels/template.h"

CP_TEMPLATE int cp_fold_rows(int fold)
{
    switch (fold) {
    case CP_MAX_TAP:
    case CP_MIN_TAP:
    case CP_SCALED_SUM: return 2;
    case CP_ENTROPY: return CP_ENTROPY_ROWS;
    default: return 1;
    }
}

CP_TEMPLATE double cp_fold_identity(int fold, int row)
{
    switch (fold) {
    case CP_MAX:
    case CP_MAX_TAP: return row == 0 ? -cp_infinity() : -1.0;
    case CP_MIN:
    case CP_MIN_TAP: return row == 0 ? cp_infinity() : -1.0;
    case CP_SCALED_SUM:
    case CP_ENTROPY: return row == 1 ? -CP_FAR : 0.0;
    default: return 0.0;
    }
}

#endif
