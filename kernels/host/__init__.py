"""Tables and meshes on the host, by Numba and NumPy; never imports JAX."""

from kernels.lazy import door

_PLACES = {
    "unique_voxels": "voxel.voxels",
    "downsample": "voxel.voxels",
    "build_pyramid": "voxel.voxels",
    "build_hash": "voxel.hash_map",
    "lookup": "voxel.hash_map",
    "neighbour_table": "voxel.hash_map",
    "trilinear_table": "voxel.trilinear",
    "one_ring": "mesh.rings",
    "rings_from_edges": "mesh.rings",
    "ring_table": "mesh.rings",
    "closest_on_fans": "mesh.closest_face",
    "radius_graph": "mesh.radius",
    "cluster_vertices": "mesh.clustering",
    "decimate": "simplify.decimate",
    "pad_rows": "batch.padding",
    "join_neighbours": "batch.padding",
    "join_children": "batch.padding",
    "join_slots": "batch.padding",
    "join_corners": "batch.padding",
    "join_rings": "batch.padding",
    "join_traces": "batch.padding",
}
__getattr__, __dir__ = door(__name__, _PLACES)
