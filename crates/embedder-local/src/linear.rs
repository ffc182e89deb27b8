//! A product with weights that are known beforehand, in single precision or in whole numbers of eight bits.

use rten_gemm::{
    BiasVector, GemmError, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix,
};
use rten_simd::ops::{BitOps as _, FloatOps as _, NarrowSaturate as _, NumOps as _, ToFloat as _};
use rten_simd::{Isa, SimdOp};
use rten_tensor::NdTensorView;
use rten_vecmath::MinMax;

/// Rows that are multiplied at a time, so that what lies between two steps stays in a core's cache.
const ROWS: usize = 64;

/// What the products are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: what the model's authors publish.
    Single,
    /// Weights and inputs in whole numbers of eight bits: two to three times as fast where the processor has instructions for it.
    Eight,
}

/// The processor's best way for each kind of product.
pub(super) struct Kernels {
    pub(super) single: GemmExecutor<f32>,
    eight: GemmExecutor<u8, i8, i32>,
}

impl Kernels {
    pub(super) fn new() -> Self {
        Self { single: GemmExecutor::new(), eight: GemmExecutor::new() }
    }

    /// What is both fast and right on this processor: without its own instructions for it, sums of eight bits overflow.
    pub(super) fn best(&self) -> Precision {
        if self.eight.may_saturate() { Precision::Single } else { Precision::Eight }
    }
}

/// `output = input · weights + bias`, for rows of input.
pub(super) struct Linear {
    weights: Weights,
    bias: Vec<f32>,
    inputs: usize,
}

enum Weights {
    Single(PackedBMatrix<f32>),
    Eight { matrix: PackedBMatrix<i8>, columns: Columns },
}

impl Linear {
    /// `weights` has a row of `inputs` numbers for each number of `bias`.
    pub(super) fn new(
        kernels: &Kernels,
        precision: Precision,
        weights: &[f32],
        bias: Vec<f32>,
        inputs: usize,
    ) -> Self {
        let shape = [bias.len(), inputs];
        let weights = match precision {
            Precision::Single => {
                let matrix = NdTensorView::from_data(shape, weights);
                Weights::Single(kernels.single.prepack_b(matrix.transposed()))
            }
            Precision::Eight => {
                let (whole, columns) = quantized(weights, inputs);
                let matrix = NdTensorView::from_data(shape, whole.as_slice());
                Weights::Eight { matrix: kernels.eight.prepack_b(matrix.transposed()), columns }
            }
        };
        Self { weights, bias, inputs }
    }

    /// Numbers of a row of output.
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Hands each block of rows of `output` to `then`, with the number of its first row, while it is near the core.
    pub(super) fn apply(
        &self,
        kernels: &Kernels,
        space: &mut Space,
        input: &[f32],
        output: &mut [f32],
        mut then: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), GemmError> {
        let inputs = input.chunks(ROWS * self.inputs);
        for (block, (input, output)) in
            inputs.zip(output.chunks_mut(ROWS * self.outputs())).enumerate()
        {
            match &self.weights {
                Weights::Single(matrix) => {
                    let rows = input.len() / self.inputs;
                    kernels.single.gemm(
                        output,
                        GemmInputA::Unpacked(NdTensorView::from_data([rows, self.inputs], input)),
                        GemmInputB::Packed(matrix),
                        GemmOptions {
                            bias: Some(BiasVector::Row(&self.bias)),
                            ..Default::default()
                        },
                    )?;
                }
                Weights::Eight { matrix, columns } => {
                    self.apply_eight(kernels, space, (matrix, columns), input, output)?;
                }
            }
            then(block * ROWS, output);
        }
        Ok(())
    }

    fn apply_eight(
        &self,
        kernels: &Kernels,
        space: &mut Space,
        (matrix, columns): (&PackedBMatrix<i8>, &Columns),
        input: &[f32],
        output: &mut [f32],
    ) -> Result<(), GemmError> {
        let (rows, outputs) = (input.len() / self.inputs, self.outputs());
        space.round(input, self.inputs);
        space.sums.resize(output.len(), 0);
        let rounded = NdTensorView::from_data([rows, self.inputs], space.rounded.as_slice());
        kernels.eight.gemm(
            &mut space.sums,
            GemmInputA::Unpacked(rounded),
            GemmInputB::Packed(matrix),
            GemmOptions::default(),
        )?;
        let each = output.chunks_mut(outputs).zip(space.sums.chunks(outputs));
        for ((output, sums), &(zero, scale)) in each.zip(&space.scales) {
            Restore { sums, columns, bias: &self.bias, zero, scale, output }.dispatch();
        }
        Ok(())
    }
}

/// Columns in whole numbers, and what they stand for.
fn quantized(weights: &[f32], inputs: usize) -> (Vec<i8>, Columns) {
    let mut whole: Vec<i8> = Vec::with_capacity(weights.len());
    let mut columns = Columns { scales: Vec::new(), sums: Vec::new() };
    for column in weights.chunks(inputs) {
        let greatest = column.iter().fold(0.0_f32, |greatest, weight| greatest.max(weight.abs()));
        let scale = if greatest > 0.0 { greatest / 127.0 } else { 1.0 };
        let start = whole.len();
        whole.extend(column.iter().map(|weight| (weight / scale).round() as i8));
        columns.scales.push(scale);
        columns.sums.push(whole[start..].iter().map(|weight| i32::from(*weight)).sum());
    }
    (whole, columns)
}

/// What a column's whole numbers stand for.
struct Columns {
    /// What they are to be multiplied with.
    scales: Vec<f32>,
    sums: Vec<i32>,
}

/// What is needed between two steps, kept so that it is taken from the operating system once.
#[derive(Default)]
pub(super) struct Space {
    /// Rows of inputs in whole numbers from 0 to 255.
    rounded: Vec<u8>,
    /// For each row the number that stands for 0, and what the distances from it are to be multiplied with.
    scales: Vec<(i32, f32)>,
    sums: Vec<i32>,
}

impl Space {
    fn round(&mut self, input: &[f32], inputs: usize) {
        self.rounded.resize(input.len(), 0);
        self.scales.clear();
        for (row, rounded) in input.chunks(inputs).zip(self.rounded.chunks_mut(inputs)) {
            let (least, greatest) = MinMax::new(row).dispatch();
            let (least, greatest) = (least.min(0.0), greatest.max(0.0));
            let scale = if greatest > least { (greatest - least) / 255.0 } else { 1.0 };
            let zero = (-least / scale).round() as i32;
            Round { row, rounded, zero, scale }.dispatch();
            self.scales.push((zero, scale));
        }
    }
}

/// A row into whole numbers. That of rten-vecmath 0.27 calls a function for each step.
struct Round<'a> {
    row: &'a [f32],
    rounded: &'a mut [u8],
    zero: i32,
    scale: f32,
}

impl SimdOp for Round<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "rten-simd needs it, or each instruction is a call")]
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (ops, whole) = (isa.f32(), isa.i32());
        let (zero, scale) = (whole.splat(self.zero), ops.splat(self.scale.recip()));
        let width = ops.len();
        let mut rows = self.row.chunks_exact(width * 4);
        let mut to = self.rounded.chunks_exact_mut(width * 4);
        for (row, to) in rows.by_ref().zip(to.by_ref()) {
            let [a, b, c, d] = ops.load_many::<4>(row);
            let a = whole.add(ops.to_int_round(ops.mul(a, scale)), zero);
            let b = whole.add(ops.to_int_round(ops.mul(b, scale)), zero);
            let c = whole.add(ops.to_int_round(ops.mul(c, scale)), zero);
            let d = whole.add(ops.to_int_round(ops.mul(d, scale)), zero);
            let (low, high) = (whole.narrow_saturate(a, b), whole.narrow_saturate(c, d));
            isa.u8().store(isa.i16().narrow_saturate(low, high), to);
        }
        for (from, to) in rows.remainder().iter().zip(to.into_remainder()) {
            let number = (from * self.scale.recip()).round_ties_even() as i32 + self.zero;
            *to = u8::try_from(number.max(0)).unwrap_or(u8::MAX);
        }
    }
}

/// A row of sums of whole numbers into what they stand for. The library could take the zeros into account by itself, but
/// rten-gemm 0.27 gives every row those of the first eight.
struct Restore<'a> {
    sums: &'a [i32],
    columns: &'a Columns,
    bias: &'a [f32],
    zero: i32,
    scale: f32,
    output: &'a mut [f32],
}

impl SimdOp for Restore<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "rten-simd needs it, or each instruction is a call")]
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (ops, whole) = (isa.f32(), isa.i32());
        let (zero, scale) = (whole.splat(self.zero), ops.splat(self.scale));
        let width = ops.len();
        let columns = self.columns.sums.chunks(width).zip(self.columns.scales.chunks(width));
        let each = self.output.chunks_mut(width).zip(self.sums.chunks(width));
        for (((output, sums), (zeros, scales)), bias) in
            each.zip(columns).zip(self.bias.chunks(width))
        {
            let zeros = whole.mul(whole.load_pad(zeros).0, zero);
            let sums = whole.to_float(whole.sub(whole.load_pad(sums).0, zeros));
            let scales = ops.mul(ops.load_pad(scales).0, scale);
            let restored = ops.mul_add(sums, scales, ops.load_pad(bias).0);
            let restored = rten_simd::Simd::to_array(restored);
            output.copy_from_slice(&restored.as_ref()[..output.len()]);
        }
    }
}
