/** What the figures of the recorded runs say; to be read again when they change. */
export const remarks: readonly string[] = [
  "On the convex problem the rate is the theorem's, and everyone's: slopes of −0.50 and −0.51 (± 0.01) for CurvSAM, −0.50 for SGD and SAM.",
  "On the non-convex problem no slope from new weights is −½ by T = 16,384: −0.30 ± 0.01 for CurvSAM at ρ = 0.05, −0.28 for SGD. The radius is not " +
    "why, for SGD has none, nor is a floor: the gradient falls on. Most of mean ‖∇L‖² is the noise term, and what η is multiplied by there grows with T: " +
    "λ from 0.26 to 0.50 and mean ‖g‖² from 0.75 to 1.43, together 3.7 times over a range in which η falls 16 times, which is +0.23 of slope. " +
    "The fall of L grows as well, from 0.60 to 1.41. All that because η T = 4√T: a longer run goes farther, to where the loss is lower and sharper. On the convex " +
    "problem λ stays at 0.08.",
  "Runs that start where others ended test that: from trained weights λ is within 0.49 and 0.57 for every T, and the slope is −0.59 ± 0.01 (beyond −½ since mean ‖g‖² " +
    "still falls with T). So the shallow slopes belong to the way there. The theorem holds with the largest L and σ of the whole path, which short runs " +
    "never see. Why it is that the weights become sharper as η falls is not answered here.",
  "d̄ is not below 1 where curvature is heterogeneous: it is 1.4 at T = 64, and 3.9 (non-convex) and 9.3 (convex) at T = 16,384. It starts at 1, " +
    "since h does, and follows the scale of h: where curvature is small, 1/d is large. With the bound proportional to d̄, CurvSAM's would be " +
    "the looser one here.",
  "d̄ does not tell the average either: while d̄ grows, CurvSAM at ρ = 0.05 equals SAM within 0.2 % at T = 16,384 on the convex problem, and is 5 % below " +
    "it on the non-convex one, where SGD is 11 % above SAM. (At equal ρ the radii are not equal: its ‖ε‖₂ is about twice SAM's there.)",
  "The radius matters, which the theorem does not name. At ρ = 0.5 the convex average is 9 % above SAM's at T = 16,384; at ρ = 4/√T, " +
    "which is the same at T = 64, that is gone. On the non-convex problem the larger radius helps short runs and not long ones (see the picture), which makes its slope shallower.",
];
