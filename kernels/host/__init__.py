"""Tables and meshes on the host, by Numba and NumPy; never imports JAX."""

from kernels.lazy import door

_PLACES = {
    **dict.fromkeys(("unique_voxels", "downsample", "build_pyramid"), "voxel.voxels"),
    **dict.fromkeys(("build_hash", "lookup", "neighbour_table"), "voxel.hash_map"),
    "trilinear_table": "voxel.trilinear",
    **dict.fromkeys(("one_ring", "rings_from_edges", "ring_table"), "mesh.rings"),
    "closest_on_fans": "mesh.closest_face",
    "radius_graph": "mesh.radius",
    "cluster_vertices": "mesh.clustering",
    "decimate": "simplify.decimate",
    **dict.fromkeys(("pad_rows", "join_neighbours", "join_children", "join_slots"), "batch.padding"),
    **dict.fromkeys(("join_corners", "join_rings", "join_traces"), "batch.padding"),
}
__getattr__, __dir__ = door(__name__, _PLACES)
