/* net: the constants.
   a test
*/
#include "net_weights.h"

/* Layer 0: weights, pairs of rows as [k][2]; k: kernel row, kernel column, channel; 18 padded to 20, 0,2,1,3 within four */
net_CONST const int8_t net_w0[60] net_ALIGN = {
    -67,-28,-81,99,31,65,-5,116,77,4,94,-20,-60,73,-87,-55,21,-18,-117,42,49,-46,
    60,38,-103,22,-43,-83,-119,38,-99,50,-17,61,0,0,-12,94,0,0,-53,-117,112,100,
    -127,41,-108,22,121,-65,113,-7,-51,-79,-92,70,-47,-7,0,0,
};

/* Layer 0: biases, with the input's zero point */
net_CONST const int32_t net_b0[3] = {
    -61559,-32190,27128,
};

/* Layer 0: multipliers */
net_CONST const int32_t net_m0[3] = {
    9150735,13493942,13929284,
};

/* Layer 0: offsets */
net_CONST const int64_t net_c0[3] = {
    INT64_C(119158089212),INT64_C(119704510981),INT64_C(118739759919),
};

/* Layer 2: multipliers */
net_CONST const int32_t net_m2[3] = {
    966092,869087,526763,
};

/* Layer 4: weights, pairs of rows as [k][2]; k: input as in memory; 18 padded to 20, 0,2,1,3 within four */
net_CONST const int8_t net_w4[80] net_ALIGN = {
    -101,16,-53,64,-5,-77,24,-26,-29,76,89,-26,33,-43,-90,-82,95,17,-73,-116,40,-95,
    -90,112,-27,29,-57,107,51,63,103,110,76,-81,0,0,6,-6,0,0,-75,-114,120,-95,
    118,-78,-64,9,120,55,89,-33,27,-111,32,-73,73,-52,121,32,23,-114,-41,-22,-84,-106,
    74,-2,27,91,98,-59,0,-1,0,0,121,-50,0,0,
};

/* Layer 4: biases, with the input's zero point */
net_CONST const int32_t net_b4[4] = {
    45805,8931,60979,57033,
};

/* Layer 4: multipliers */
net_CONST const int32_t net_m4[4] = {
    2097152,8388608,4194304,4194304,
};
