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
ONE = 23  # three columns: where the fields of the function begin, of the first image
TWO = 26  # three columns: of the second images, whose rows stand twice where positions wrap
FUNCTION = 29
TERMS = 30  # of a series; behind it how far its terms lie apart, of the first image and of the second ones
COLUMNS = 33

WEIGH, ADD, INFLATE = range(3)  # operations
LINEAR, HALF_LINES, RELU, ERF, GELU, WAVE, RBF, SERIES = range(8)  # functions
FAMILIES = (HALF_LINES, RELU), (ERF, GELU, WAVE, RBF), (SERIES,)

# Columns of an instruction's real numbers; the function's own begin at OWN.
SCALE, GAIN, SHIFT, OWN = range(4)
NUMBERS = 7
EXTRA = SCALE  # of INFLATE
