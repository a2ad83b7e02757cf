//! Weights: matrices in some format, in shards that fit the device's bindings.

use bytemuck::{Pod, Zeroable};

use super::memory::{Buffer, Purpose};
use super::profile::WeightPart;
use super::{Gpu, layout};
use crate::error::{Error, Result};
use crate::formats::{Format, padded_rows};

/// Bytes of uploads after which their host copies are waited for and freed.
const FLUSH_EVERY: usize = 16 << 20;

/// `struct Weight` of `shaders/lib/weight.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ShardParams {
    rows: u32,
    chunks: u32,
    first_row: u32,
    total_rows: u32,
}

/// A stack of `count` matrices `[rows, columns]`.
pub struct Weight {
    /// Matrices; more than one for weights per expert or per head.
    pub count: usize,
    /// Rows of a matrix.
    pub rows: usize,
    /// Columns of a matrix, without padding.
    pub columns: usize,
    /// The rows of all matrices in order, cut where a binding ends and where the format changes.
    pub shards: Vec<Shard>,
}

/// The part of a [`Weight`] that one binding holds: whole matrices, or rows of the only one.
pub struct Shard {
    /// How it is stored.
    pub format: &'static Format,
    pub(super) group: wgpu::BindGroup,
    params: Buffer,
    planes: Vec<Buffer>,
    /// Where it starts in the rows of all matrices.
    pub first_row: usize,
    /// Rows it holds.
    pub rows: usize,
    /// Whole matrices it holds; 1 for rows of the only one.
    matrices: usize,
    /// Rows of all shards.
    total_rows: usize,
}

impl Weight {
    /// `parts` one after the other: the rows of single matrices, or stacks of equal ones.
    ///
    /// Parts may differ in format: kernels are launched shard by shard anyway.
    ///
    /// # Panics
    /// If their shapes do not fit each other.
    pub fn join(gpu: &Gpu, parts: Vec<Self>) -> Self {
        let (first_columns, stacked) = (parts[0].columns, parts.iter().any(|part| part.count > 1));
        let total: usize = parts.iter().map(|part| part.count * part.rows).sum();
        let rows = if stacked { parts[0].rows } else { total };
        let mut shards = Vec::new();
        let mut first_row = 0;
        for part in parts {
            assert_eq!(
                part.columns, first_columns,
                "joined weights differ in width"
            );
            assert!(!stacked || part.rows == rows, "stacked matrices differ");
            for mut shard in part.shards {
                shard.first_row += first_row;
                shard.total_rows = total;
                gpu.write_shard_params(&shard, first_columns);
                shards.push(shard);
            }
            first_row += part.count * part.rows;
        }
        Self {
            count: total / rows,
            rows,
            columns: first_columns,
            shards,
        }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let row = |shard: &Shard| shard.format.row_bytes(self.columns) as u64;
        let bytes = |shard: &Shard| shard.rows as u64 * row(shard);
        self.shards.iter().map(bytes).sum()
    }
}

impl Shard {
    /// What a launch that binds it has.
    pub(super) fn part(&self) -> WeightPart {
        WeightPart {
            format: self.format,
            rows: self.rows,
            total_rows: self.total_rows,
            matrices: self.matrices,
            bytes: self.planes.iter().map(Buffer::bytes).sum(),
        }
    }
}

/// A [`Weight`] being filled, row by row in order.
pub struct WeightWriter<'g> {
    gpu: &'g Gpu,
    format: &'static Format,
    weight: Weight,
    next_row: usize,
    unflushed: usize,
}

impl<'g> WeightWriter<'g> {
    /// Reserves the device memory for `count` matrices `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if the device has no room, or if one binding cannot
    /// hold one of several matrices.
    pub async fn new(
        gpu: &'g Gpu,
        format: &'static Format,
        [count, rows, columns]: [usize; 3],
    ) -> Result<Self> {
        let row_blocks = format.padded(columns) / format.block;
        let widest = row_blocks * format.planes.iter().max().expect("a format has planes");
        let unit = if count == 1 { 1 } else { rows };
        let units = gpu.binding_limit as usize / (widest * unit);
        if units == 0 {
            return Err(Error::DoesNotFit(format!(
                "a matrix of {rows} x {columns} in {} needs {} bytes in one binding, the device allows {}",
                format.name,
                widest * unit,
                gpu.binding_limit
            )));
        }
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let (total, step) = (count * rows, units * unit);
        let shard = |first_row: usize| {
            let rows = first_row..total.min(first_row + step);
            let matrices = if count == 1 { 1 } else { rows.len() / unit };
            gpu.shard(format, columns, total, rows, matrices)
        };
        let shards = (0..total).step_by(step).map(shard).collect();
        if scope.pop().await.is_some() {
            let bytes = total * format.row_bytes(columns);
            return Err(Error::DoesNotFit(format!(
                "the device has no room for a weight of {bytes} bytes"
            )));
        }
        gpu.check()?;
        let weight = Weight {
            count,
            rows,
            columns,
            shards,
        };
        Ok(Self {
            gpu,
            format,
            weight,
            next_row: 0,
            unflushed: 0,
        })
    }

    /// Takes `rows` rows for written, if the device only counts: nobody needs to read them.
    pub fn skip(&mut self, rows: usize) -> bool {
        if self.gpu.is_counting() {
            self.next_row += rows;
        }
        self.gpu.is_counting()
    }

    /// Appends rows: `values: [rows, columns]`.
    pub async fn write(&mut self, values: &[f32]) -> Result<()> {
        let (format, columns) = (self.format, self.weight.columns);
        let whole = columns.next_multiple_of(format.block);
        let planes = if columns == whole {
            (format.pack)(values)
        } else {
            (format.pack)(&padded_rows(values, columns, whole))
        };
        self.write_planes(&planes).await
    }

    /// Appends rows of whole blocks, as [`Format::planes`] has them.
    pub async fn write_planes(&mut self, planes: &[Vec<u8>]) -> Result<()> {
        let (format, columns) = (self.format, self.weight.columns);
        let (blocks, padded) = (columns.div_ceil(format.block), format.padded(columns));
        if blocks * format.block == padded {
            let planes: Vec<_> = planes.iter().map(Vec::as_slice).collect();
            return self.write_padded(&planes).await;
        }
        let pad = |(plane, bytes): (&Vec<u8>, &usize)| {
            padded_rows(plane, blocks * bytes, padded / format.block * bytes)
        };
        let planes: Vec<_> = planes.iter().zip(format.planes).map(pad).collect();
        self.write_padded(&planes.iter().map(Vec::as_slice).collect::<Vec<_>>())
            .await
    }

    async fn write_padded(&mut self, planes: &[&[u8]]) -> Result<()> {
        let weight = &self.weight;
        let row_blocks = self.format.padded(weight.columns) / self.format.block;
        let row_bytes: Vec<_> = self
            .format
            .planes
            .iter()
            .map(|bytes| bytes * row_blocks)
            .collect();
        let rows = planes[0].len() / row_bytes[0];
        assert!(
            self.next_row + rows <= weight.count * weight.rows,
            "more rows than the weight has"
        );
        for shard in &weight.shards {
            let first = self.next_row.max(shard.first_row);
            let end = (self.next_row + rows).min(shard.first_row + shard.rows);
            if first >= end {
                continue;
            }
            for ((plane, buffer), bytes) in planes.iter().zip(&shard.planes).zip(&row_bytes) {
                let part = &plane[(first - self.next_row) * bytes..(end - self.next_row) * bytes];
                self.gpu.queue.write_buffer(
                    buffer,
                    ((first - shard.first_row) * bytes) as u64,
                    part,
                );
            }
        }
        self.next_row += rows;
        self.unflushed += planes.iter().map(|plane| plane.len()).sum::<usize>();
        if self.unflushed >= FLUSH_EVERY {
            self.unflushed = 0;
            self.gpu.flush().await?;
        }
        Ok(())
    }

    /// The complete weight.
    #[track_caller]
    pub fn finish(self) -> Weight {
        assert_eq!(
            self.next_row,
            self.weight.count * self.weight.rows,
            "rows are missing"
        );
        self.weight
    }
}

impl Gpu {
    fn shard(
        &self,
        format: &'static Format,
        columns: usize,
        total_rows: usize,
        rows: std::ops::Range<usize>,
        matrices: usize,
    ) -> Shard {
        let padded = format.padded(columns);
        let params = size_of::<ShardParams>() as u64;
        let params = self.buffers.create(Purpose::Params, params);
        let plane = |bytes: &usize| {
            let bytes = rows.len() * (padded / format.block * bytes);
            self.buffers
                .create(Purpose::Weight(format.name), bytes as u64)
        };
        let planes: Vec<_> = format.planes.iter().map(plane).collect();
        let bindings = layout::bindings(&super::kernel::weight_wgsl(format), 1);
        let buffers = std::iter::once(&params).chain(&planes);
        let entries: Vec<_> = bindings
            .iter()
            .zip(buffers)
            .map(|(&(binding, _), buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(format.name),
            layout: &self.pipelines.layout(&bindings),
            entries: &entries,
        });
        let shard = Shard {
            format,
            group,
            params,
            planes,
            first_row: rows.start,
            rows: rows.len(),
            matrices,
            total_rows,
        };
        self.write_shard_params(&shard, columns);
        shard
    }

    fn write_shard_params(&self, shard: &Shard, columns: usize) {
        let params = ShardParams {
            rows: shard.rows as u32,
            chunks: (shard.format.padded(columns) / 8) as u32,
            first_row: shard.first_row as u32,
            total_rows: shard.total_rows as u32,
        };
        self.queue
            .write_buffer(&shard.params, 0, bytemuck::bytes_of(&params));
    }
}
