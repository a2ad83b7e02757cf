# What training on a processor is fastest with, to be sourced. Of two cores of a Xeon with bf16 matrix units:
# 3,500 tokens a second with one thread; 2,700 with two that sleep while they wait, 5,200 with two that spin, but a
# fraction of that as soon as anything else runs. An EPYC without such units: 2,800 with one.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" PYTHONDONTWRITEBYTECODE=1
# Kernels are made for each shape of product, of which there are some thousands.
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=8192
