/** What the figures of the recorded runs say; to be read again when they change. */
export const remarks: readonly string[] = [
  "On the convex problem the rate is the theorem's, and everyone's: slopes of −0.50 and −0.51 (± 0.01) for CurvSAM, −0.50 for SGD and SAM.",
  "On the non-convex problem nothing has reached the rate by T = 16,384: −0.30 ± 0.01 for CurvSAM at ρ = 0.05, −0.28 for SGD. The theorem is " +
    "about large T, and hides its constants. η Σ ‖∇L‖² is there four to seven times the fall of the loss, so that the noise term of order η L σ² is " +
    "most of the bound; that L grows along the way as η falls, so that this term falls slower than 1/√T, is the likely reason, not one that was tested.",
  "d̄ is not below 1 where curvature is heterogeneous: it is 1.4 at T = 64, and 3.9 (non-convex) and 9.3 (convex) at T = 16,384. It starts at 1, " +
    "since h does, and follows the scale of h: where curvature is small, 1/d is large. With the bound proportional to d̄, CurvSAM's would be " +
    "the looser one here.",
  "d̄ does not tell the average either: while d̄ grows, CurvSAM at ρ = 0.05 equals SAM within 0.2 % at T = 16,384 on the convex problem, and is 5 % below " +
    "it on the non-convex one, where SGD is 11 % above SAM. (At equal ρ the radii are not equal: its ‖ε‖₂ is about twice SAM's there.)",
  "The radius matters, which the theorem does not name. At ρ = 0.5 the convex average is 9 % above SAM's at T = 16,384; at ρ = 4/√T, " +
    "which is the same at T = 64, that is gone. On the non-convex problem the larger radius helps short runs and not long ones (see the picture), which makes its slope shallower.",
];
