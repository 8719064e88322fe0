/* Written by tools/make_math.py, which says how: change that, not this. */
#ifndef CP_KERNELS_MATH_CONSTANTS_H
#define CP_KERNELS_MATH_CONSTANTS_H

/* sqrt(1/2): its bits cut the mantissas so that 1 lies inside */
#define CP_SQRT_HALF_BITS 0x3fe6a09e667f3bcdu

/* log2(m) = s (C0 + z (C1 + z Q(z))), s = (m - 1) / (m + 1), z = s^2, C0 = 2/ln2, C1 = C0/3 */
#define CP_LOG2_C0_HI 0x1.7154760000000p+1
#define CP_LOG2_C0_LO 0x1.4ae0bf85ddf44p-25
#define CP_LOG2_C1_HI 0x1.ec709d8000000p-1
#define CP_LOG2_C1_LO 0x1.0e80ff5d27f05p-27
/* Q(x), 0 <= x <= 0.0294373: relative error 2^-65.8 of the whole */
#define CP_LOG2_Q_0 0x1.2776c50ef9bfep-1
#define CP_LOG2_Q_1 0x1.a61762a7adfa8p-2
#define CP_LOG2_Q_2 0x1.484b13d79c410p-2
#define CP_LOG2_Q_3 0x1.0c9a84bf4b885p-2
#define CP_LOG2_Q_4 0x1.c68f2f05fc1d8p-3
#define CP_LOG2_Q_5 0x1.89fed19a0954ap-3
#define CP_LOG2_Q_6 0x1.59e09fb241a29p-3
#define CP_LOG2_Q_7 0x1.5a5fb73c059a5p-3

/* log2(m) = s L(z), for floats */
/* L(x), 0 <= x <= 0.0294373: relative error 2^-45.1 of the whole */
#define CP_LOG2_NEAR_0 0x1.71547652b8253p+1
#define CP_LOG2_NEAR_1 0x1.ec709dc539e76p-1
#define CP_LOG2_NEAR_2 0x1.2776c295f01d0p-1
#define CP_LOG2_NEAR_3 0x1.a61a2cc1ced06p-2
#define CP_LOG2_NEAR_4 0x1.4795a6307a14dp-2
#define CP_LOG2_NEAR_5 0x1.21ac9c90410d8p-2

/* 2^f = 1 + f (C1 + f (C2 + f P(f))), C1 = ln2, C2 = ln2^2 / 2 */
#define CP_EXP2_C1_HI 0x1.62e42f8000000p-1
#define CP_EXP2_C1_LO 0x1.be8e7bcd5e4f2p-27
#define CP_EXP2_C2_HI 0x1.ebfbdf8000000p-3
#define CP_EXP2_C2_LO 0x1.e0b163aa1bc5bp-29
/* P(x), -0.500001 <= x <= 0.500001: relative error 2^-60.8 of the whole */
#define CP_EXP2_P_0 0x1.c6b08d704a0c0p-5
#define CP_EXP2_P_1 0x1.3b2ab6fba4e77p-7
#define CP_EXP2_P_2 0x1.5d87fe78a5dc5p-10
#define CP_EXP2_P_3 0x1.430912f86c3ccp-13
#define CP_EXP2_P_4 0x1.ffcbfc61f6fb8p-17
#define CP_EXP2_P_5 0x1.62c0223e17acep-20
#define CP_EXP2_P_6 0x1.b52508786202ap-24
#define CP_EXP2_P_7 0x1.e4cf279023fe3p-28
#define CP_EXP2_P_8 0x1.e9bbddc59c6dcp-32
#define CP_EXP2_P_9 0x1.c47c5add75202p-36

/* 2^f = 1 + f N(f), for floats */
/* N(x), -0.500001 <= x <= 0.500001: relative error 2^-33.1 of the whole */
#define CP_EXP2_NEAR_0 0x1.62e42fefa39efp-1
#define CP_EXP2_NEAR_1 0x1.ebfbe045f50e2p-3
#define CP_EXP2_NEAR_2 0x1.c6b08d883ddc0p-5
#define CP_EXP2_NEAR_3 0x1.3b2a1b7104e4cp-7
#define CP_EXP2_NEAR_4 0x1.5d879eacd6b7cp-10
#define CP_EXP2_NEAR_5 0x1.44400016ea86bp-13
#define CP_EXP2_NEAR_6 0x1.00a5818939202p-16

/* log(m) = s (2 + z R(z)); 1/ln2 and what that leaves; ln2; in two parts: exponents times the first are exact */
#define CP_LN2 0x1.62e42fefa39efp-1
#define CP_LOG2_E 0x1.71547652b82fep+0
#define CP_LOG2_E_REST 0x1.777d0ffda0d24p-56
#define CP_LN2_TOP 0x1.62e42fee00000p-1
#define CP_LN2_REST 0x1.a39ef35793c76p-33
/* R(x), 0 <= x <= 0.0294373: relative error 2^-57.6 of the whole */
#define CP_LOG_R_0 0x1.5555555555558p-1
#define CP_LOG_R_1 0x1.99999999952e2p-2
#define CP_LOG_R_2 0x1.2492492df148dp-2
#define CP_LOG_R_3 0x1.c71c62e5800a1p-3
#define CP_LOG_R_4 0x1.7462b4ab2ef62p-3
#define CP_LOG_R_5 0x1.39fe606542e57p-3
#define CP_LOG_R_6 0x1.2b584aae78acfp-3

/* e^r = 1 + (r + r^2 F(r)), in float lanes; ln2 in two floats: exponents of 7 bits times the first are exact */
#define CP_LN2_FLOAT_TOP 0x1.62e4000000000p-1
#define CP_LN2_FLOAT_REST 0x1.7f7d1c0000000p-20
/* F(x), -0.346818 <= x <= 0.346818: relative error 2^-26.5 of the whole */
#define CP_EXP_F_0 0x1.0000000000000p-1
#define CP_EXP_F_1 0x1.5554dc0000000p-3
#define CP_EXP_F_2 0x1.55551a0000000p-5
#define CP_EXP_F_3 0x1.120bbc0000000p-7
#define CP_EXP_F_4 0x1.6d11560000000p-10

#endif
