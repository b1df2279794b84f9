"""The columns of an instruction of the fused engine, as a row of integers; two columns where it says so: down, across."""

OPERATION = 0
INPUT = 1  # register
OTHER = 2  # register of a second input
OUTPUT = 3  # register
TAPS = 4  # two columns, like all up to GRID_OUT
STRIDE = 6
DILATION = 8
LOW = 10  # rows and columns that a window reads before the first pixel
HIGH = 12  # and behind the last
GRID_IN = 14  # extents
GRID_OUT = 16
STEP_IN = 18  # how far one step of the stage's displacement reaches on the grid of the inputs
STEP_OUT = 20  # and on that of the outputs
FIELD_IN = 22  # where the field of the inputs' variances begins, among an image's fields
FIELD_A = 23  # where the fields of the function begin
FIELD_B = 24
FUNCTION = 25
COLUMNS = 26

WEIGH, ADD, INFLATE = range(3)  # operations
LINEAR, HALF_LINES = range(2)  # functions

# Columns of an instruction's real numbers.
SCALE, GAIN, SHIFT, BEND, LINE = range(5)
NUMBERS = 5
EXTRA = SCALE  # of INFLATE
