// hwc_credit: flow control of a circular buffer whose reader steps through windows.
//
// Words are written one by one; a window is SPAN words from its base on; bases only move forward, by D0, D1 or
// D2 words (kind 0, 1, 2). ok_o: all words of the current window are in. room_o: a word may be written without
// hitting one that is not released. take_i (kind_i) moves the base on; drop_i (drop_kind_i) releases the words
// before the next base, some cycles later, when the last read of the window is done.
// Both counters are two's complement and offset so that their sign bit is the answer.
`default_nettype none

module hwc_credit #(
    parameter DEPTH = 2,  // words of the buffer
    parameter SPAN  = 1,  // words from a window's base to its end
    parameter D0    = 1,  // base step of kind 0
    parameter D1    = 1,  // base step of kind 1
    parameter D2    = 1   // base step of kind 2 (or 3)
) (
    input  wire       clk_i,
    input  wire       rst_ni,
    input  wire       write_i,
    input  wire       take_i,
    input  wire [1:0] kind_i,
    input  wire       drop_i,
    input  wire [1:0] drop_kind_i,
    output wire       ok_o,
    output wire       room_o
);

  localparam integer CW = $clog2(DEPTH + SPAN + D0 + D1 + D2 + 2) + 1;
  localparam integer STEP0 = D0;
  localparam integer STEP1 = D1;
  localparam integer STEP2 = D2;
  localparam integer MISSING = -SPAN;
  localparam integer SPACE = DEPTH - 1;

  generate
    if (DEPTH < SPAN || SPAN < 1 || D0 < 1 || D1 < 1 || D2 < 1) begin : g_check
      hwc_error_credit_needs_depth_ge_span_and_steps_ge_1 u_error ();
    end
  endgenerate

  reg [CW-1:0] ahead_q;  // words written - base - SPAN
  reg [CW-1:0] space_q;  // DEPTH - 1 - (words written - released)

  wire [CW-1:0] take_step = kind_i[1] ? STEP2[CW-1:0] : kind_i[0] ? STEP1[CW-1:0] : STEP0[CW-1:0];
  wire [CW-1:0] drop_step = drop_kind_i[1] ? STEP2[CW-1:0] : drop_kind_i[0] ? STEP1[CW-1:0] : STEP0[CW-1:0];
  wire [CW-1:0] take = take_i ? take_step : {CW{1'b0}};
  wire [CW-1:0] drop = drop_i ? drop_step : {CW{1'b0}};
  wire [CW-1:0] one = {{CW - 1{1'b0}}, write_i};

  always @(posedge clk_i) begin
    if (!rst_ni) begin
      ahead_q <= MISSING[CW-1:0];
      space_q <= SPACE[CW-1:0];
    end else begin
      ahead_q <= ahead_q - take + one;
      space_q <= space_q + drop - one;
    end
  end

  assign ok_o   = !ahead_q[CW-1];
  assign room_o = !space_q[CW-1];

endmodule

`default_nettype wire
