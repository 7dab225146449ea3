// hwc_cut: lane by lane LO + STEP*#{i : x >= T_i}, with one set of thresholds for all lanes; combinational.
`default_nettype none

module hwc_cut #(
    parameter             LANES    = 1,                   // lanes
    parameter             XW       = 8,                   // bits per input lane
    parameter             X_SIGNED = 1,                   // 1: two's complement, 0: unsigned
    parameter             ACC_W    = 9,                   // bits of a threshold, two's complement; above XW
    parameter             N        = 1,                   // thresholds
    parameter [N*ACC_W:0] T        = {N*ACC_W+1{1'b0}},   // thresholds, the first at the bottom, then 1 for N - #
    parameter integer     LO       = 0,                   // lowest output
    parameter             STEP     = 1,                   // 1 or 2
    parameter             OUT_W    = 1                    // bits per output lane
) (
    input  wire [   LANES*XW-1:0] data_i,
    output wire [LANES*OUT_W-1:0] data_o
);

  wire [LANES*ACC_W-1:0] a;

  hwc_extend #(.LANES(LANES), .IN_W(XW), .OUT_W(ACC_W), .IS_SIGNED(X_SIGNED)) u_a (.data_i(data_i), .data_o(a));

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_threshold_lane #(.ACC_W(ACC_W), .N(N), .LO(LO), .STEP(STEP), .REG(0), .OUT_W(OUT_W)) u_lane (
          .clk_i(1'b0), .en_i(1'b0), .a_i(a[i*ACC_W +: ACC_W]), .t_i(T[N*ACC_W-1:0]), .down_i(T[N*ACC_W]),
          .y_o(data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

endmodule

`default_nettype wire
