// hwc_walk: the order in which hwc_window reads: words of a set, tap groups, repetitions, sets, columns, rows.
//
// addr_o is the address (mod DEPTH) of the window's first word plus the running word index; tg_o the tap group.
// take_o marks the last beat of a window, kind_o whether the next one is in this row (0), row (1) or frame (3).
// All move on in a cycle with en_i; take_o includes en_i. Addresses only add constants.
`default_nettype none

module hwc_walk #(
    parameter DEPTH      = 2,  // words of the circular buffer
    parameter AW         = 1,  // address width; 2**AW >= DEPTH
    parameter G          = 1,  // words per pixel
    parameter TG         = 1,  // tap groups per window
    parameter TW         = 1,  // width of tg_o
    parameter REP        = 1,  // how often each window is read
    parameter SETS       = 1,  // sets of G/SETS words that make a pixel
    parameter WO         = 1,  // windows per row
    parameter HO         = 1,  // rows of windows per frame
    parameter STEP_X     = 1,  // words from a window to the next
    parameter STEP_Y     = 1,  // .. to the first of the next row
    parameter STEP_F     = 1   // .. to the first of the next frame
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          en_i,
    output wire [TW-1:0] tg_o,
    output wire [AW-1:0] addr_o,
    output wire          take_o,
    output wire [   1:0] kind_o
);

  localparam integer WORDS = G / SETS;
  localparam integer GW = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam integer SW = (SETS > 1) ? $clog2(SETS) : 1;
  localparam integer RW = (REP > 1) ? $clog2(REP) : 1;
  localparam integer XW = (WO > 1) ? $clog2(WO) : 1;
  localparam integer YW = (HO > 1) ? $clog2(HO) : 1;
  localparam integer ADD_X = STEP_X % DEPTH;
  localparam integer ADD_Y = STEP_Y % DEPTH;
  localparam integer ADD_F = STEP_F % DEPTH;
  localparam integer ONE = 1;

  wire [GW-1:0] unused_g;
  wire [RW-1:0] unused_rep;
  wire [SW-1:0] unused_set;
  wire [XW-1:0] unused_x;
  wire [YW-1:0] unused_y;
  wire          last_g, last_tg, last_rep, last_set, last_x, last_y;
  wire          step_tg = en_i && last_g;
  wire          step_set = step_tg && last_tg && last_rep;

  hwc_count #(.N(WORDS), .W(GW)) u_g (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i), .count_o(unused_g), .last_o(last_g)
  );
  hwc_count #(.N(TG), .W(TW)) u_tg (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(step_tg), .count_o(tg_o), .last_o(last_tg)
  );
  hwc_count #(.N(REP), .W(RW)) u_rep (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(step_tg && last_tg), .count_o(unused_rep), .last_o(last_rep)
  );
  hwc_count #(.N(SETS), .W(SW)) u_set (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(step_set), .count_o(unused_set), .last_o(last_set)
  );
  hwc_count #(.N(WO), .W(XW)) u_x (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o), .count_o(unused_x), .last_o(last_x)
  );
  hwc_count #(.N(HO), .W(YW)) u_y (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o && last_x), .count_o(unused_y), .last_o(last_y)
  );

  assign take_o = step_set && last_set;
  assign kind_o = {last_x && last_y, last_x};

  reg  [AW-1:0] base_q;  // the window's first word
  wire [AW-1:0] base;
  wire [AW-1:0] step = kind_o[1] ? ADD_F[AW-1:0] : kind_o[0] ? ADD_Y[AW-1:0] : ADD_X[AW-1:0];

  hwc_modadd #(.M(DEPTH), .W(AW)) u_base (.a_i(base_q), .b_i(step), .sum_o(base));

  always @(posedge clk_i) begin
    if (!rst_ni) base_q <= {AW{1'b0}};
    else if (take_o) base_q <= base;
  end

  generate
    if (G == 1) begin : g_one
      assign addr_o = base_q;
    end else begin : g_many
      reg  [AW-1:0] addr_q;  // base_q plus the word index
      wire [AW-1:0] first;   // the set's first word
      wire [AW-1:0] next;
      hwc_modadd #(.M(DEPTH), .W(AW)) u_next (.a_i(addr_q), .b_i(ONE[AW-1:0]), .sum_o(next));
      if (SETS == 1) begin : g_all
        assign first = base_q;
      end else begin : g_sets
        reg [AW-1:0] first_q;
        always @(posedge clk_i) begin
          if (!rst_ni) first_q <= {AW{1'b0}};
          else if (step_set) first_q <= take_o ? base : next;
        end
        assign first = first_q;
      end
      always @(posedge clk_i) begin
        if (!rst_ni) addr_q <= {AW{1'b0}};
        else if (en_i) addr_q <= take_o ? base : (last_g && !step_set) ? first : next;
      end
      assign addr_o = addr_q;
    end
  endgenerate

endmodule

`default_nettype wire
