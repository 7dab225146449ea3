// hwc_zone: address of the constants of each result of a map, where they differ at the borders as padding adds nothing.
//
// Steps through GROUPS results of each of COLS columns of each of ROWS rows, then around again:
// addr_o = group + ROW_AT[row] + COL_AT[column].
`default_nettype none

module hwc_zone #(
    parameter               GROUPS = 1,                // results of a pixel
    parameter               W      = 1,                // width of addr_o, which holds every address
    parameter               ROWS   = 1,                // rows
    parameter               COLS   = 1,                // columns
    parameter [ROWS*32-1:0] ROW_AT = {ROWS*32{1'b0}},  // of each row, the first at the bottom
    parameter [COLS*32-1:0] COL_AT = {COLS*32{1'b0}}   // of each column
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         en_i,
    output wire [W-1:0] addr_o
);

  localparam integer RW = (ROWS > 1) ? $clog2(ROWS) : 1;
  localparam integer CW = (COLS > 1) ? $clog2(COLS) : 1;

  generate
    if (GROUPS < 1 || ROWS < 1 || COLS < 1 || W < 1 || W < $clog2(GROUPS)) begin : g_check
      hwc_error_zone_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  wire [ W-1:0] group;
  wire [CW-1:0] col;
  wire [RW-1:0] row;
  wire          last_group, last_col, unused_last;
  reg  [ W-1:0] row_at, col_at;

  hwc_count #(.N(GROUPS), .W(W)) u_group (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i), .count_o(group), .last_o(last_group)
  );
  hwc_count #(.N(COLS), .W(CW)) u_col (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i && last_group), .count_o(col), .last_o(last_col)
  );
  hwc_count #(.N(ROWS), .W(RW)) u_row (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i && last_group && last_col), .count_o(row), .last_o(unused_last)
  );

  wire unused_top = ^{ROW_AT, COL_AT};

  integer k;
  always @* begin
    row_at = ROW_AT[W-1:0];
    col_at = COL_AT[W-1:0];
    for (k = 1; k < ROWS; k = k + 1) if (row == k[RW-1:0]) row_at = ROW_AT[k*32 +: W];
    for (k = 1; k < COLS; k = k + 1) if (col == k[CW-1:0]) col_at = COL_AT[k*32 +: W];
  end

  assign addr_o = group + row_at + col_at;

endmodule

`default_nettype wire
