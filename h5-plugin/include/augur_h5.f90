! augur_h5: Augur for Fortran programs that write HDF5
!
! A source file to compile with your own; nothing of Augur is linked. At run time HDF5 itself loads the plugin
! libh5z_augur.so from HDF5_PLUGIN_PATH (or from its default plugin folder).
!
!     use hdf5
!     use augur_h5
!     type(augur_options) :: options
!     options = augur_absolute(1.0d-3)             ! |x - x'| <= 1e-3 at every point
!     call h5pset_chunk_f(dcpl, 3, chunk, error)   ! chunk = [nx, ny, 16]: 16 time steps, time is Fortran's last axis
!     call h5pset_augur_f(dcpl, options, error)
!
! A program that opens an existing dataset only to write calls h5augur_available_f once before it does: HDF5 loads
! plugins when a dataset is created or read, but not when one is written, and would store the chunks uncompressed.
!
! Licence: MIT OR Apache-2.0
module augur_h5
   use, intrinsic :: iso_fortran_env, only: int64, real64, error_unit
   use hdf5
   implicit none
   private

   !> Number of the filter, from the range for private use until The HDF Group assigns one.
   integer, parameter, public :: AUGUR_H5_FILTER_ID = 49493

   integer, parameter, public :: AUGUR_BOUND_LOSSLESS = 0           !< nothing is lost
   integer, parameter, public :: AUGUR_BOUND_ABSOLUTE = 1           !< |x - x'| <= bound
   integer, parameter, public :: AUGUR_BOUND_RELATIVE = 2           !< |x - x'| <= bound * range (second, or each chunk's own)
   integer, parameter, public :: AUGUR_BOUND_ABSREL = 3             !< the smaller of bound and second * value range
   integer, parameter, public :: AUGUR_BOUND_POINTWISE_RELATIVE = 4 !< |x - x'| <= bound * |x|; exact where |x| < second
   integer, parameter, public :: AUGUR_BOUND_PSNR = 5               !< peak signal-to-noise ratio of each chunk in dB

   integer, parameter, public :: AUGUR_PRESET_BALANCED = 0 !< prediction over space and time, fitted to each chunk
   integer, parameter, public :: AUGUR_PRESET_FAST = 1     !< faster, somewhat larger
   integer, parameter, public :: AUGUR_PRESET_LOSSLESS = 2 !< nothing is lost, whatever the bound
   integer, parameter, public :: AUGUR_PRESET_LEARNED = 3  !< as balanced, with what a trained model adds; see augur_set_model
   integer, parameter, public :: AUGUR_PRESET_TEZIP = 4    !< TEZip's method: predicted by a model alone, or by the frame before
   integer, parameter, public :: AUGUR_PRESET_TEZIP_PLUS = 5 !< as learned, for models that remember (PredNet, ConvLSTM)
   integer, parameter, public :: AUGUR_PRESET_AE_SZ = 6      !< AE-SZ's method: block by block, by an autoencoder where that pays
   integer, parameter, public :: AUGUR_PRESET_AE_SZ_PLUS = 7 !< as balanced, with what an autoencoder makes of each frame
   integer, parameter, public :: AUGUR_PRESET_CAE = 8        !< as ae-sz, with a fully connected autoencoder of runs of values

   !> Attribute with which a dataset names its model.
   character(len=*), parameter, public :: AUGUR_H5_MODEL_ATTRIBUTE = 'augur_model'

   !> What Augur is asked to do with a dataset. Start from one of the functions below, then change components.
   type, public :: augur_options
      integer :: mode = AUGUR_BOUND_LOSSLESS     !< what the bound means
      real(real64) :: bound = 0.0_real64         !< first parameter of the bound
      real(real64) :: second = 0.0_real64        !< second parameter; 0 where the mode has none
      integer :: preset = AUGUR_PRESET_BALANCED  !< how hard to compress
      !> Which of the dataset's axes is time, as HDF5 counts them: 0 is the slowest, that is Fortran's last.
      integer :: time_axis = 0
      !> .false.: HDF5 may store a chunk uncompressed when the plugin is missing in a writing process, so that no data are
      !> lost. .true.: such a write fails; HDF5 up to 2.2 can crash when that happens as a file is closed.
      logical :: mandatory = .false.
      !> .true.: `fill` marks missing points, which are kept exactly; .false.: the dataset's own fill value does. Not with a
      !> bound that has a second parameter.
      logical :: has_fill = .false.
      real(real64) :: fill = 0.0_real64          !< that value, as the dataset's type holds it
      !> Presets from learned on: SHA-256 of the model, 64 hexadecimal digits, also after 'sha256:' or
      !> '/_augur/models/'; blank: the dataset's attribute names it.
      character(len=80) :: model = ' '
      !> .true.: creating the dataset fails when the model is not found; .false.: chunks are then stored as with preset
      !> balanced (tezip: predicted by the frame before; ae-sz, cae: without an autoencoder), and a warning says so.
      logical :: strict = .false.
      !> Preset tezip: a key frame every so many time steps of a chunk, 2 to 127; 0: not so.
      integer :: window = 0
      !> Preset tezip: a key frame where the mean squared error of the predictions since the last one exceeds this share of the
      !> chunk's squared value range, 2**(-31) to 1, rounded to a power of 2 to a quarter; 0: not so.
      real(real64) :: threshold = 0.0_real64
      !> Preset tezip: time steps at the start of a chunk that are key frames, at most 7; 0: one.
      integer :: warm_up = 0
      !> Preset tezip, .true.: forecasts are made from forecasts until the next key frame, as TEZip does it; .false.: from
      !> what was decoded.
      logical :: open_loop = .false.
      !> Presets ae-sz and cae, .true.: the prediction of a block is chosen by the sum of its absolute differences, as AE-SZ
      !> does it; .false.: by the bits that it takes.
      logical :: by_distance = .false.
   end type augur_options

   public :: augur_lossless, augur_absolute, augur_relative, augur_absrel, augur_pointwise_relative, augur_psnr
   public :: augur_set_model, augur_set_windows
   public :: h5pset_augur_f, h5augur_available_f, h5augur_set_model_attribute_f

contains

   !> Nothing is lost.
   pure function augur_lossless() result(options)
      type(augur_options) :: options
      options = augur_options()
   end function augur_lossless

   !> |x - x'| <= bound at every point. For integers the bound is in counts; below 1 nothing is lost.
   pure function augur_absolute(bound) result(options)
      real(real64), intent(in) :: bound
      type(augur_options) :: options
      options = augur_options(mode=AUGUR_BOUND_ABSOLUTE, bound=bound)
   end function augur_absolute

   !> |x - x'| <= bound * range; without `range` it is each chunk's own value range.
   pure function augur_relative(bound, range) result(options)
      real(real64), intent(in) :: bound
      real(real64), intent(in), optional :: range
      type(augur_options) :: options
      options = augur_options(mode=AUGUR_BOUND_RELATIVE, bound=bound)
      if (present(range)) options%second = range
   end function augur_relative

   !> |x - x'| <= the smaller of absolute and relative * each chunk's value range.
   pure function augur_absrel(absolute, relative) result(options)
      real(real64), intent(in) :: absolute, relative
      type(augur_options) :: options
      options = augur_options(mode=AUGUR_BOUND_ABSREL, bound=absolute, second=relative)
   end function augur_absrel

   !> |x - x'| <= bound * |x|, sign and zero kept; values with |x| < floor are exact.
   pure function augur_pointwise_relative(bound, floor) result(options)
      real(real64), intent(in) :: bound
      real(real64), intent(in), optional :: floor
      type(augur_options) :: options
      options = augur_options(mode=AUGUR_BOUND_POINTWISE_RELATIVE, bound=bound)
      if (present(floor)) options%second = floor
   end function augur_pointwise_relative

   !> Peak signal-to-noise ratio of at least db (1 to 1000) in each chunk.
   pure function augur_psnr(db) result(options)
      real(real64), intent(in) :: db
      type(augur_options) :: options
      options = augur_options(mode=AUGUR_BOUND_PSNR, bound=db)
   end function augur_psnr

   !> Predicts with a trained model (preset learned, unless it is another one for models already). `digest` is its name, the
   !> SHA-256 of its file, which `augur models` prints; without it the dataset's attribute names the model, see
   !> h5augur_set_model_attribute_f. The filter must find the model when chunks are written and when they are read: in the
   !> HDF5 file (`augur models embed`), in a folder of AUGUR_MODEL_PATH, or in the user's store (`augur models add`).
   pure subroutine augur_set_model(options, digest)
      type(augur_options), intent(inout) :: options
      character(len=*), intent(in), optional :: digest
      if (options%preset < AUGUR_PRESET_LEARNED) options%preset = AUGUR_PRESET_LEARNED
      options%model = ' '
      if (present(digest)) options%model = digest
   end subroutine augur_set_model

   !> Predicts as TEZip does (preset tezip), with key frames every `window` time steps of a chunk (2 to 127), or where the mean
   !> squared error of the predictions since the last one exceeds `threshold` times the squared value range of the chunk
   !> (2**(-31) to 1); without both only the first time step is a key frame. `warm_up` time steps at the start are key frames
   !> in any case (at most 7, by default 1). With `open_loop` forecasts are made from forecasts until the next key frame,
   !> otherwise from what was decoded. For a model call augur_set_model as well; without one each frame is predicted by the
   !> one before.
   pure subroutine augur_set_windows(options, window, threshold, warm_up, open_loop)
      type(augur_options), intent(inout) :: options
      integer, intent(in), optional :: window, warm_up
      real(real64), intent(in), optional :: threshold
      logical, intent(in), optional :: open_loop
      options%preset = AUGUR_PRESET_TEZIP
      options%window = 0
      options%threshold = 0.0_real64
      options%warm_up = 0
      options%open_loop = .false.
      if (present(window)) options%window = window
      if (present(threshold)) options%threshold = threshold
      if (present(warm_up)) options%warm_up = warm_up
      if (present(open_loop)) options%open_loop = open_loop
   end subroutine augur_set_windows

   !> Gives a dataset the attribute that names its model, in place of one that it has: chunks that are written from then on
   !> with a preset that uses models and without one in the options use it. `model` is 'sha256:' and 64 hexadecimal digits,
   !> the path of a model in the HDF5 file ('/_augur/models/' and the digits), or the path of a model file, relative to the
   !> HDF5 file. Call it right after h5dcreate_f: a chunk that is written before is stored as with preset balanced. Reading
   !> does not need the attribute, since every chunk names its model itself.
   subroutine h5augur_set_model_attribute_f(dataset, model, hdferr)
      integer(hid_t), intent(in) :: dataset
      character(len=*), intent(in) :: model
      integer, intent(out) :: hdferr

      integer(hid_t) :: kind, space, attribute
      integer :: ignored
      logical :: there

      hdferr = -1
      if (len_trim(model) == 0) then
         write (error_unit, '(a)') 'augur: no model was named'
         return
      end if
      call h5aexists_f(dataset, AUGUR_H5_MODEL_ATTRIBUTE, there, hdferr)
      if (hdferr < 0) return
      if (there) call h5adelete_f(dataset, AUGUR_H5_MODEL_ATTRIBUTE, hdferr)
      if (hdferr < 0) return
      call h5tcopy_f(H5T_FORTRAN_S1, kind, hdferr)
      if (hdferr < 0) return
      call h5tset_size_f(kind, int(len_trim(model), size_t), hdferr)
      call h5tset_strpad_f(kind, H5T_STR_NULLPAD_F, ignored)
      if (hdferr >= 0) call h5screate_f(H5S_SCALAR_F, space, hdferr)
      if (hdferr >= 0) then
         call h5acreate_f(dataset, AUGUR_H5_MODEL_ATTRIBUTE, kind, space, attribute, hdferr)
         if (hdferr >= 0) then
            call h5awrite_f(attribute, kind, trim(model), [1_hsize_t], hdferr)
            call h5aclose_f(attribute, ignored)
            if (ignored < 0) hdferr = ignored
         end if
         call h5sclose_f(space, ignored)
      end if
      call h5tclose_f(kind, ignored)
   end subroutine h5augur_set_model_attribute_f

   !> Whether HDF5 finds the plugin; loads it when it was not loaded yet.
   subroutine h5augur_available_f(available, hdferr)
      logical, intent(out) :: available
      integer, intent(out) :: hdferr
      call h5zfilter_avail_f(AUGUR_H5_FILTER_ID, available, hdferr)
      if (hdferr < 0) available = .false.
   end subroutine h5augur_available_f

   !> Asks for Augur in a dataset creation property list; a second call replaces the options of the first. The dataset must
   !> be chunked, with several time steps in a chunk. hdferr is 0, or -1 after a line on stderr when the options are not
   !> valid, the plugin is not found, or dcpl is not such a list.
   subroutine h5pset_augur_f(dcpl, options, hdferr)
      integer(hid_t), intent(in) :: dcpl
      type(augur_options), intent(in) :: options
      integer, intent(out) :: hdferr

      integer :: cd_values(10), words, flags, n, i, id, old_flags
      integer :: old_values(1)
      integer(size_t) :: none
      character(len=16) :: name
      character(len=300) :: text, path
      logical :: available

      hdferr = -1
      text = problem(options)
      if (len_trim(text) > 0) then
         write (error_unit, '(2a)') 'augur: ', trim(text)
         return
      end if
      call h5augur_available_f(available, hdferr)
      if (.not. available) then
         path = ' '
         call get_environment_variable('HDF5_PLUGIN_PATH', path)
         write (error_unit, '(a,i0,3a)') 'augur: HDF5 does not find filter ', AUGUR_H5_FILTER_ID, &
            '. Before the program starts, set HDF5_PLUGIN_PATH to the folder that holds libh5z_augur.so (now it is "', &
            trim(path), '")'
         hdferr = -1
         return
      end if

      cd_values(1) = ior(1, ishft(options%preset, 8)) ! version 1 of the layout
      cd_values(1) = ior(cd_values(1), ishft(options%warm_up, 27))
      if (options%open_loop .or. options%by_distance) cd_values(1) = ior(cd_values(1), ishft(1, 30))
      cd_values(2) = ior(options%mode, ior(ishft(options%time_axis, 20), ishft(key_frames(options), 24)))
      cd_values(3:4) = 0
      if (options%mode /= AUGUR_BOUND_LOSSLESS) cd_values(3:4) = low_and_high(options%bound)
      cd_values(5:6) = low_and_high(options%second)
      if (options%has_fill) then
         cd_values(1) = ior(cd_values(1), ishft(1, 17)) ! the last two words hold the user's fill value
         cd_values(5:6) = low_and_high(options%fill)
      end if
      if (options%strict) cd_values(1) = ior(cd_values(1), ishft(1, 26)) ! no dataset without the model
      words = 6 ! words that are left out count as 0
      if (len_trim(options%model) > 0) then
         words = 10
         call read_digest(options%model, cd_values(7:10), available)
      end if
      flags = H5Z_FLAG_OPTIONAL_F
      if (options%mandatory) flags = 0 ! H5Z_FLAG_MANDATORY, which HDF5's Fortran modules do not name

      call h5pget_nfilters_f(dcpl, n, hdferr)
      if (hdferr < 0) return
      do i = 0, n - 1
         none = 0
         call h5pget_filter_f(dcpl, i, old_flags, none, old_values, int(len(name), size_t), name, id, hdferr)
         if (hdferr < 0) return
         if (id == AUGUR_H5_FILTER_ID) then
            call h5pmodify_filter_f(dcpl, AUGUR_H5_FILTER_ID, flags, int(words, size_t), cd_values, hdferr)
            return
         end if
      end do
      call h5pset_filter_f(dcpl, AUGUR_H5_FILTER_ID, flags, int(words, size_t), cd_values, hdferr)
   end subroutine h5pset_augur_f

   !> What is wrong with the options; empty when nothing is.
   function problem(o) result(text)
      type(augur_options), intent(in) :: o
      character(len=300) :: text
      character(len=24) :: what
      integer :: ignored(4)
      logical :: valid

      text = ' '
      select case (o%mode)
      case (AUGUR_BOUND_LOSSLESS)
      case (AUGUR_BOUND_PSNR)
         if (.not. (o%bound >= 1.0_real64 .and. o%bound <= 1000.0_real64)) &
            write (text, '(a,g0,a)') 'the target PSNR is ', o%bound, ' dB, it must lie between 1 and 1000'
      case (AUGUR_BOUND_ABSOLUTE, AUGUR_BOUND_RELATIVE, AUGUR_BOUND_ABSREL, AUGUR_BOUND_POINTWISE_RELATIVE)
         what = 'absolute bound'
         if (o%mode == AUGUR_BOUND_RELATIVE) what = 'relative bound'
         if (o%mode == AUGUR_BOUND_POINTWISE_RELATIVE) what = 'pointwise relative bound'
         if (.not. positive(o%bound)) then
            write (text, '(3a,g0,a)') 'the ', trim(what), ' is ', o%bound, &
               ', it must be finite and greater than 0; ask for augur_lossless() when nothing may be lost'
         else if (o%mode == AUGUR_BOUND_POINTWISE_RELATIVE .and. o%bound >= 1.0_real64) then
            write (text, '(a,g0,a)') 'the pointwise relative bound is ', o%bound, ', it must be below 1 to keep the sign'
         else if (o%mode == AUGUR_BOUND_ABSREL .and. .not. positive(o%second)) then
            write (text, '(a,g0,a)') 'the relative bound is ', o%second, ', it must be finite and greater than 0'
         else if (o%mode /= AUGUR_BOUND_ABSOLUTE .and. .not. (o%second == 0.0_real64 .or. positive(o%second))) then
            write (text, '(a,g0,a)') 'the second parameter of the bound (value range or floor) is ', o%second, &
               ', it must be finite and at least 0'
         end if
      case default
         write (text, '(a,i0,a)') 'bound mode ', o%mode, ' is unknown, expected 0 to 5'
      end select
      if (len_trim(text) > 0) return

      select case (o%mode)
      case (AUGUR_BOUND_LOSSLESS, AUGUR_BOUND_ABSOLUTE, AUGUR_BOUND_PSNR)
         if (.not. o%second == 0.0_real64) &
            write (text, '(a,g0,a)') 'the second parameter is ', o%second, ', but this bound has none; set it to 0'
      end select
      if (o%preset < AUGUR_PRESET_BALANCED .or. o%preset > AUGUR_PRESET_CAE) then
         write (text, '(a,i0,a)') 'preset ', o%preset, &
            ' is unknown, expected 0 (balanced), 1 (fast), 2 (lossless), 3 (learned), 4 (tezip), 5 (tezip+), 6 (ae-sz), '// &
            '7 (ae-sz+) or 8 (cae)'
      else if (o%preset < AUGUR_PRESET_LEARNED .and. (len_trim(o%model) > 0 .or. o%strict)) then
         write (text, '(a,i0,a)') 'a model or strict was given, but preset ', o%preset, &
            ' uses no model; expected AUGUR_PRESET_LEARNED (3), _TEZIP (4), _TEZIP_PLUS (5), _AE_SZ (6), _AE_SZ_PLUS (7) '// &
            'or _CAE (8)'
      else if (o%by_distance .and. o%preset /= AUGUR_PRESET_AE_SZ .and. o%preset /= AUGUR_PRESET_CAE) then
         write (text, '(a,i0,a)') 'selection by distance was given, but preset ', o%preset, &
            ' has no blocks; expected AUGUR_PRESET_AE_SZ (6) or _CAE (8)'
      end if
      call check_windows(o, text)
      if (len_trim(o%model) > 0) then
         call read_digest(o%model, ignored, valid)
         if (.not. valid) text = 'the model "'//trim(o%model)// &
            '" is no SHA-256, expected 64 hexadecimal digits (see augur models list)'
      end if
      if (o%time_axis < 0 .or. o%time_axis > 15) &
         write (text, '(a,i0,a)') 'the time axis is ', o%time_axis, ', expected 0 (the slowest, Fortran''s last) to 15'
      if (o%has_fill .and. o%second /= 0.0_real64) &
         text = 'a fill value was given beside a bound with a second parameter, and only one of both fits; '// &
                'declare the fill value with h5pset_fill_value_f instead'
   end function problem

   !> Says what is wrong with the windows; leaves the text alone when nothing is.
   pure subroutine check_windows(o, text)
      type(augur_options), intent(in) :: o
      character(len=*), intent(inout) :: text

      if (o%window /= 0 .and. (o%window < 2 .or. o%window > 127)) then
         write (text, '(a,i0,a)') 'a key frame every ', o%window, &
            ' time steps was asked for, expected 2 to 127 (or 0: the first only)'
      else if (.not. (o%threshold == 0.0_real64 .or. (o%threshold >= 2.0_real64**(-31) .and. o%threshold <= 1.0_real64))) then
         write (text, '(a,g0,a)') 'the threshold of key frames is ', o%threshold, &
            ', expected 2**(-31) to 1 of the squared value range (or 0: none)'
      else if (o%window /= 0 .and. o%threshold /= 0.0_real64) then
         text = 'a window and a threshold both say where key frames are; set one of them to 0'
      else if (o%warm_up < 0 .or. o%warm_up > 7) then
         write (text, '(a,i0,a)') 'a warm-up of ', o%warm_up, ' time steps was asked for, expected at most 7'
      else if (o%preset /= AUGUR_PRESET_TEZIP .and. &
               (o%window /= 0 .or. o%threshold /= 0.0_real64 .or. o%warm_up /= 0 .or. o%open_loop)) then
         write (text, '(a,i0,a)') 'a window, threshold, warm-up or open loop was given, but preset ', o%preset, &
            ' has no key frames; expected AUGUR_PRESET_TEZIP (4)'
      end if
   end subroutine check_windows

   !> The window, or 128 and how many quarters of a power of 2 the threshold is below 1.
   pure integer function key_frames(o)
      type(augur_options), intent(in) :: o
      key_frames = o%window
      if (o%threshold > 0.0_real64) key_frames = 128 + nint(-4*log(o%threshold)/log(2.0_real64))
   end function key_frames

   !> The first 128 bits of a SHA-256 in hexadecimal as four words, the first byte lowest.
   pure subroutine read_digest(text, words, valid)
      character(len=*), intent(in) :: text
      integer, intent(out) :: words(4)
      logical, intent(out) :: valid

      character(len=*), parameter :: digits = '0123456789abcdef0123456789ABCDEF'
      integer(int64) :: bits
      integer :: first, i, k, place

      first = 1
      if (index(text, 'sha256:') == 1) first = 8
      if (index(text, '/_augur/models/') == 1) first = 16
      words = 0
      valid = len_trim(text) - first + 1 == 64 .and. verify(trim(text(first:)), digits) == 0
      if (.not. valid) return
      do i = 1, 4
         bits = 0
         do k = 0, 7
            ! The digits of a byte stand high one first, the bytes low one first.
            place = first + 8*(i - 1) + ieor(k, 1)
            bits = ior(bits, ishft(int(mod(index(digits, text(place:place)) - 1, 16), int64), 4*k))
         end do
         words(i) = word(bits)
      end do
   end subroutine read_digest

   !> Whether v is finite and greater than 0; NaN is not.
   pure logical function positive(v)
      real(real64), intent(in) :: v
      positive = v > 0.0_real64 .and. v <= huge(v)
   end function positive

   !> Bits of a double as two 32-bit words, the low one first, whatever the machine's byte order.
   pure function low_and_high(v) result(pair)
      real(real64), intent(in) :: v
      integer :: pair(2)
      integer(int64) :: bits
      bits = transfer(v, bits)
      pair(1) = word(ibits(bits, 0, 32))
      pair(2) = word(ibits(bits, 32, 32))
   end function low_and_high

   !> The signed integer with these 32 bits.
   pure integer function word(bits)
      integer(int64), intent(in) :: bits
      if (bits < 2_int64**31) then
         word = int(bits)
      else
         word = int(bits - 2_int64**32)
      end if
   end function word
end module augur_h5
