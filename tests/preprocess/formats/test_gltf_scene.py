"""Primitives, morph targets, nodes and instances of glTF by hand-computed values."""

import numpy as np

from tests.preprocess.formats.glb_builder import (
    CORNERS,
    FACES,
    SQUARE,
    TRIANGLES,
    Glb,
    by_trimesh,
    faces,
    read,
    refused,
)


def test_strips_turn_every_other_triangle_and_fans_meet_in_the_first_vertex():
    glb = Glb()
    strip = glb.primitive(rows=np.array([0, 1, 3, 2], "u2"), mode=5)
    assert faces(read(glb.simple(strip).bytes())) == [[0, 1, 3], [1, 2, 3]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=np.array([3, 0, 1, 2], "u2"), mode=6)).bytes())) == [
        [0, 1, 3],
        [1, 2, 3],
    ]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=None, mode=5)).bytes())) == [[0, 1, 2], [1, 3, 2]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=None, mode=6)).bytes())) == [[1, 2, 0], [2, 3, 0]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(SQUARE[:3], rows=None)).bytes())) == [[0, 1, 2]]
    glb = Glb()
    short = glb.primitive(rows=np.array([0, 1], "u2"), mode=6)
    assert faces(read(glb.simple(glb.primitive(), short, glb.primitive(SQUARE[:1], None, mode=5)).bytes())) == FACES


def test_lines_and_points_are_counted():
    glb = Glb()
    others = [glb.primitive(rows=None, mode=mode) for mode in (0, 1, 2, 3)]
    raw = read(glb.simple(*others, glb.primitive(), {"attributes": {}}).bytes())
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    assert raw.notes == [
        "warning: 1 part of points skipped",
        "warning: 3 parts of lines skipped",
        "warning: 1 part without POSITION skipped",
    ]
    glb = Glb()
    refused(
        glb.simple(*[glb.primitive(mode=mode) for mode in (0, 3, 3)]).bytes(), "1 part of points and 2 parts of lines"
    )


def test_primitives_that_are_refused():
    glb = Glb()
    refused(glb.simple(glb.primitive(rows=TRIANGLES[:4])).bytes(), "mesh 0, primitive 0 has 4 corners")
    glb = Glb()
    second = glb.primitive(rows=np.array([0, 1, 4], "u2"))
    refused(glb.simple(glb.primitive(), second).bytes(), "primitive 1 names vertex 4, but its vertices are 0 to 3")
    glb = Glb()
    refused(glb.simple(glb.primitive(mode=7)).bytes(), "mode 7")
    glb = Glb()
    refused(glb.simple(glb.primitive(attributes={"POSITION": 77})).bytes(), "names accessor 77")


def test_morph_targets_at_their_weights():
    glb = Glb()
    up, aside = np.full((4, 3), [0, 0, 1], "f4"), np.full((4, 3), [1, 0, 0], "f4")
    targets = [{"POSITION": glb.array(up)}, {"POSITION": glb.array(aside)}, {}]
    mesh = glb.mesh(glb.primitive(targets=targets), weights=[0.5, 0, 1])
    nodes = [
        glb.node(mesh=mesh),
        glb.node(mesh=mesh, weights=[0, 2, 0]),
        glb.node(mesh=glb.mesh(glb.primitive(targets=targets))),
    ]
    raw = read(glb.bytes(scenes=[{"nodes": nodes[::-1]}]))
    np.testing.assert_array_equal(raw.vertices, np.concatenate([SQUARE + up / 2, SQUARE + 2 * aside, SQUARE]))


def test_nodes_with_matrices_translations_rotations_and_scales():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    half = np.sqrt(0.5)
    child = glb.node(mesh=mesh, translation=[1, 2, 3], rotation=[0, 0, half, half], scale=[2, 1, 1])
    matrix = np.array([[0, 0, 1, 10], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    root = glb.node(matrix=matrix.T.ravel().tolist(), children=[child])
    raw = read(glb.bytes(scene=0, scenes=[{"nodes": [root]}]))
    placed = [[1 - y, 2 + 2 * x, 3] for x, y, _ in SQUARE]  # a quarter turn about z, then the step
    np.testing.assert_allclose(raw.vertices, [[10 + z, x, y] for x, y, z in placed], atol=1e-12)
    assert faces(raw) == FACES


def test_mirrored_nodes_turn_their_faces():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    nodes = [glb.node(mesh=mesh, scale=scale) for scale in ([-1, 1, 1], [-1, -1, 1], [1, 1, -2])]
    raw = read(glb.bytes(scenes=[{"nodes": nodes[::-1]}]))
    normals = np.cross(*np.diff(raw.vertices[raw.corners.reshape(-1, 3)], axis=1).transpose(1, 0, 2))
    np.testing.assert_array_equal(np.sign(normals[:, 2]), [1, 1, 1, 1, -1, -1])  # what is outside stays outside


def test_which_scene_is_read():
    def glb_of(**changes) -> bytes:
        glb = Glb()
        mesh = glb.mesh(glb.primitive())
        for step in range(4):
            glb.node(mesh=mesh, translation=[step, 0, 0])
        glb.header["nodes"][3]["children"] = [2]
        return glb.bytes(**changes)

    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    for changes, steps in (
        ({"scenes": scenes, "scene": 1}, [1]),
        ({"scenes": scenes}, [0]),
        ({"scenes": []}, [3, 5, 1, 0]),
        ({}, [3, 5, 1, 0]),
    ):
        raw = read(glb_of(**changes))
        assert raw.vertices[::4, 0].tolist() == steps
        assert ("warning: 2 scenes in the file" in str(raw.notes)) == (
            "scenes" in changes and len(changes["scenes"]) > 1
        )
    refused(glb_of(scene=5, scenes=scenes), "`scene` of the file names scene 5, but the file has 2 of them")
    refused(glb_of(scenes=[{"nodes": []}]), "no node of its scene has a mesh")


def test_order_of_nodes_is_that_of_trimesh():
    glb = Glb()
    meshes = [glb.mesh(glb.primitive(SQUARE + step), glb.primitive(SQUARE + step + 0.5)) for step in range(6)]
    nodes = [glb.node(mesh=mesh, name=f"node {mesh}") for mesh in meshes]
    glb.header["nodes"][0]["children"] = [nodes[1], nodes[2]]
    glb.header["nodes"][2]["children"] = [nodes[5]]
    content = glb.bytes(scene=0, scenes=[{"nodes": [nodes[3], nodes[0], nodes[4]]}])
    assert read(content).vertices[::8, 0].tolist() == [4, 0, 2, 5, 1, 3]
    np.testing.assert_array_equal(read(content).vertices, by_trimesh(content)[0])


def test_nodes_must_be_a_tree():
    for nodes in ([{"children": [1]}, {"children": [0]}], [{"children": [1, 1]}, {}], [{"children": [0]}]):
        glb = Glb(nodes=[{"mesh": 0}, *[{} for _ in nodes[1:]]])
        glb.mesh(glb.primitive())
        for node, more in zip(glb.header["nodes"], nodes):
            node |= more
        refused(glb.bytes(scenes=[{"nodes": [0]}]), "is reached twice", "not a tree")
    glb = Glb()
    glb.node(mesh=glb.mesh(glb.primitive()), children=[7])
    refused(glb.bytes(scenes=[{"nodes": [0]}]), "node 0 names node 7, but the file has 1 of them")


def test_a_hundred_thousand_nodes_one_below_the_other():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    count = 100_000
    glb.header["nodes"] = [{"children": [row + 1], "translation": [1, 0, 0]} for row in range(count - 1)] + [
        {"mesh": mesh}
    ]
    raw = read(glb.bytes(scenes=[{"nodes": [0]}]))
    np.testing.assert_array_equal(raw.vertices, SQUARE + np.array([count - 1, 0, 0]))


def test_gpu_instances():
    glb = Glb()
    half = np.sqrt(0.5)
    turns = np.array([[0, 0, 0, 32767], [0, 0, half * 32767, half * 32767]]).round().astype("i2")
    attributes = {
        "TRANSLATION": glb.array(np.array([[1, 0, 0], [0, 5, 0]], "f4")),
        "ROTATION": glb.array(turns, normalized=True),
        "SCALE": glb.array(np.array([[1, 1, 1], [2, -1, 1]], "f4")),
        "_ID": glb.array(np.arange(2, dtype="f4")),
    }
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    content = glb.simple(glb.primitive(), glb.primitive(SQUARE + 9), extensions=extension, translation=[0, 0, 7])
    raw = read(content.bytes(extensionsRequired=["EXT_mesh_gpu_instancing"]))
    both = np.concatenate([SQUARE, SQUARE + 9])
    second = [[y, 5 + 2 * x, z] for x, y, z in both]
    np.testing.assert_allclose(
        raw.vertices, np.concatenate([np.add(both, [1, 0, 0]), second]) + np.array([0, 0, 7]), atol=1e-4
    )
    assert faces(raw)[:2] == FACES
    assert faces(raw)[4:6] == [[10, 9, 8], [11, 10, 8]]
    content.header["accessors"][attributes["SCALE"]]["count"] = 1
    refused(content.bytes(), "have different counts, 1, 2")


def test_growth_is_bounded():
    glb = Glb()
    instances = glb.accessor(componentType=5126, count=80_000, type="VEC3")
    extension = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": instances}}}
    points = glb.accessor(componentType=5126, count=80_000, type="VEC3")
    content = glb.simple(glb.primitive(points), extensions=extension)
    refused(content.bytes(), "place 6400000000 vertices and 160000 triangles; 8388608 and")


def test_what_is_ignored_is_told():
    glb = Glb(animations=[{}], skins=[{"joints": [0]}])
    attributes = {"NORMAL": SQUARE, "COLOR_1": SQUARE, "TEXCOORD_1": CORNERS, "TEXCOORD_0": CORNERS, "_LABEL": CORNERS}
    glb.mesh(glb.primitive())
    glb.node(mesh=glb.mesh(glb.primitive(attributes=attributes | {"JOINTS_0": SQUARE})), skin=0)
    assert read(glb.bytes(scenes=[{"nodes": [0]}])).notes == [
        "warning: 1 of 2 meshes skipped, no node of the scene has them",
        "warning: skins ignored, 1 part in the pose of the mesh itself",
        "1 animation ignored",
        "vertex attributes ignored: COLOR_1, TEXCOORD_1, _LABEL",
    ]


def test_whole_numbers_beyond_float64_are_infinite():
    glb = Glb()
    raw = read(glb.simple(glb.primitive(), translation=[10**400, -(10**400), 0]).bytes())
    np.testing.assert_array_equal(raw.vertices[:, :2], [[np.inf, -np.inf]] * 4)
