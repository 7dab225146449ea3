// hwc_table: the values that codes stand for: value c of a constant table for a lane with code c. Combinational.
`default_nettype none

module hwc_table #(
    parameter LANES = 1,  // lanes
    parameter CW    = 1,  // bits per code
    parameter W     = 8,  // bits per value
    parameter [(W<<CW)-1:0] TABLE = {(W<<CW){1'b0}}  // the values, that of code 0 at the bottom
) (
    input  wire [LANES*CW-1:0] code_i,
    output wire [ LANES*W-1:0] data_o
);

  generate
    if (LANES < 1 || CW < 1 || W < 1) begin : g_check
      hwc_error_table_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  genvar i, b, k;
  generate
    for (b = 0; b < W; b = b + 1) begin : g_bit
      wire [(1<<CW)-1:0] column;  // this bit of every value
      for (k = 0; k < (1 << CW); k = k + 1) begin : g_value
        assign column[k] = TABLE[k*W + b];
      end
      for (i = 0; i < LANES; i = i + 1) begin : g_lane
        assign data_o[i*W + b] = column[code_i[i*CW +: CW]];
      end
    end
  endgenerate

endmodule

`default_nettype wire
